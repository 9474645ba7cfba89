// SPDX-License-Identifier: BSD-3-Clause
//
// Tables with aligned columns. The last column is not padded, so lines end where their text ends.
#include "list.h"

#include <cjson/cJSON.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 16
#define CELL_MAX    512

struct list {
	const char *name;
	const struct list_column *columns;
	unsigned int nb_columns;
	size_t width[COLUMNS_MAX];
	char **cells; // rows one behind the other
	size_t nb_cells, size;
	bool json, any;
};

static size_t columns_of_text(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80; // bytes that begin a character of UTF-8
	return n;
}

static void default_format(char *out, size_t size, const cJSON *v)
{
	if (cJSON_IsString(v) || cJSON_IsRaw(v))
		snprintf(out, size, "%s", v->valuestring);
	else if (cJSON_IsNumber(v))
		snprintf(out, size, "%.15g", v->valuedouble);
	else if (cJSON_IsBool(v))
		snprintf(out, size, "%s", cJSON_IsTrue(v) ? "yes" : "no");
	else
		snprintf(out, size, "-");
	if (!*out)
		snprintf(out, size, "-");
}

static void add_cell(struct list *l, unsigned int column, const char *text)
{
	size_t n = columns_of_text(text);

	if (l->nb_cells == l->size) {
		l->size = l->size ? l->size * 2 : 64;
		l->cells = realloc(l->cells, l->size * sizeof(*l->cells));
		if (!l->cells)
			abort(); // an operator's tool out of memory has nothing to save
	}
	l->cells[l->nb_cells] = strdup(text);
	if (!l->cells[l->nb_cells])
		abort();
	// What a peer's name or a config brings must not move the terminal's cursor.
	for (char *c = l->cells[l->nb_cells]; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	l->nb_cells++;
	if (n > l->width[column])
		l->width[column] = n;
}

static void add_row(struct list *l, const cJSON *row)
{
	for (unsigned int i = 0; i < l->nb_columns; i++) {
		const struct list_column *c = &l->columns[i];
		const cJSON *v = cJSON_GetObjectItemCaseSensitive(row, c->key);
		char cell[CELL_MAX];

		if (c->format)
			c->format(cell, sizeof(cell), v, row);
		else
			default_format(cell, sizeof(cell), v);
		add_cell(l, i, cell);
	}
}

struct list *list_new(const char *name, const struct list_column *columns, bool json)
{
	struct list *l = calloc(1, sizeof(*l));

	if (!l)
		abort();
	l->name = name;
	l->columns = columns;
	l->json = json;
	while (l->nb_columns < COLUMNS_MAX && columns[l->nb_columns].head)
		l->nb_columns++;
	for (unsigned int i = 0; i < l->nb_columns && !json; i++)
		add_cell(l, i, columns[i].head);
	if (json)
		printf("{\"%s\":[", name);
	return l;
}

void list_add(struct list *l, struct cJSON *row)
{
	if (l->json) {
		char *text = cJSON_PrintUnformatted(row);

		if (!text)
			abort();
		printf("%s\n%s", l->any ? "," : "", text);
		cJSON_free(text);
	} else {
		add_row(l, row);
	}
	l->any = true;
	cJSON_Delete(row);
}

static void print_cell(const struct list *l, size_t i)
{
	unsigned int column = (unsigned int)(i % l->nb_columns);
	bool last = column == l->nb_columns - 1, right = l->columns[column].right;
	int pad = (int)(l->width[column] - columns_of_text(l->cells[i]));

	if (right)
		printf("%*s%s", pad, "", l->cells[i]);
	else
		printf("%s%*s", l->cells[i], last ? 0 : pad, "");
	fputs(last ? "\n" : "  ", stdout);
}

void list_end(struct list *l)
{
	if (l->json)
		puts("\n]}");
	for (size_t i = 0; i < l->nb_cells; i++) {
		print_cell(l, i);
		free(l->cells[i]);
	}
	free(l->cells);
	free(l);
}

void list_print(const struct list_column *columns, const struct cJSON *array)
{
	struct list *l = list_new("", columns, false);
	const cJSON *row;

	cJSON_ArrayForEach (row, array)
		add_row(l, row);
	list_end(l);
}

void list_json_add(struct cJSON *object, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	cJSON_AddRawToObject(object, key, text);
}

uint64_t list_json_u64(const struct cJSON *v)
{
	if (cJSON_IsRaw(v))
		return strtoull(v->valuestring, NULL, 10);
	return cJSON_IsNumber(v) && v->valuedouble > 0 ? (uint64_t)v->valuedouble : 0;
}

void list_json_print(struct cJSON *document)
{
	char *text = cJSON_PrintUnformatted(document);

	if (!text)
		abort();
	puts(text);
	cJSON_free(text);
	cJSON_Delete(document);
}

const char *list_json_text(const struct cJSON *object, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsString(v) ? v->valuestring : "";
}
