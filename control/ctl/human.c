// SPDX-License-Identifier: BSD-3-Clause
//
// Figures as people read them: binary units for bytes, the two greatest units for times.
#include "human.h"

#include "list.h"

#include <cjson/cJSON.h>

#include <inttypes.h>
#include <stdio.h>

const char *human_bytes(char out[HUMAN_MAX], uint64_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double v = (double)bytes / 1024;
	unsigned int i = 0;

	if (bytes < 1024) {
		snprintf(out, HUMAN_MAX, "%" PRIu64 " B", bytes);
		return out;
	}
	// 1023.995 and more would be printed as 1024.00.
	for (; v >= 1023.995 && i < 5; i++)
		v /= 1024;
	snprintf(out, HUMAN_MAX, "%.2f %s", v, units[i]);
	return out;
}

const char *human_span(char out[HUMAN_MAX], uint64_t s)
{
	if (s < 60)
		snprintf(out, HUMAN_MAX, "%" PRIu64 " s", s);
	else if (s < 3600)
		snprintf(out, HUMAN_MAX, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(out, HUMAN_MAX, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
	else
		snprintf(out, HUMAN_MAX, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s / 3600 % 24);
	return out;
}

void human_format_bytes(char *out, size_t size, const struct cJSON *value, const struct cJSON *row)
{
	char text[HUMAN_MAX];

	snprintf(out, size, "%s", value ? human_bytes(text, list_json_u64(value)) : "-");
}

void human_format_age_ms(char *out, size_t size, const struct cJSON *value, const struct cJSON *row)
{
	char text[HUMAN_MAX];

	if (!value || cJSON_IsNull(value))
		snprintf(out, size, "never");
	else
		snprintf(out, size, "%s ago", human_span(text, list_json_u64(value) / 1000));
}

void human_format_percent(char *out, size_t size, const struct cJSON *value, const struct cJSON *row)
{
	if (!cJSON_IsNumber(value))
		snprintf(out, size, "-");
	else
		snprintf(out, size, "%.1f %%", value->valuedouble);
}
