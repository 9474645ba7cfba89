// SPDX-License-Identifier: BSD-3-Clause
//
// Keys of the configuration, inline or from a file of their own. The caller gives locked memory; every
// other place a key passed through is wiped here. Messages never quote a key.
#include "../../crypto/keys.h"
#include "config_read.h"

#include <cjson/cJSON.h>
#include <sodium.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE_MAX    256
#define SECRET_FILE_MAX 1024

static const char key_allowed[] = "a key of 44 base64 characters, as `wg genkey` prints";

static int placeholder_error(const struct json_at *at)
{
	return json_error(at, "a placeholder (not shown)",
		"a key of your own, from `wg genkey`, `wg genpsk` or `wg pubkey`");
}

bool config_is_placeholder(const char *text)
{
	static const char *const words[] = {"replace", "placeholder", "example", "insert", "changeme",
		"change-me", "change_me", "your-", "your_", "your ", "yourkey", "xxxx", "<", "todo"};
	char *lower = g_ascii_strdown(text, -1);
	bool found = false;

	for (size_t i = 0; i < G_N_ELEMENTS(words) && !found; i++)
		found = strstr(lower, words[i]) != NULL;
	config_secret_free(lower);
	return found;
}

void config_secret_free(char *text)
{
	if (text)
		sodium_memzero(text, strlen(text));
	g_free(text);
}

static int key_decode(const struct json_at *at, const char *text, uint8_t out[32])
{
	uint8_t key[32];

	if (key_from_base64(key, text)) {
		bool zero = sodium_is_zero(key, sizeof(key));

		if (!zero)
			memcpy(out, key, sizeof(key));
		sodium_memzero(key, sizeof(key));
		return zero ? placeholder_error(at) : 0;
	}
	if (config_is_placeholder(text))
		return placeholder_error(at);
	return json_error(at, "a text that is no key (not shown)", "%s", key_allowed);
}

// A path as the document means it: relative to the folder of the document.
char *config_path(const struct json_at *at, const char *path)
{
	char *dir, *ret;

	if (g_path_is_absolute(path))
		return g_strdup(path);
	dir = g_path_get_dirname(at->doc->file);
	ret = g_build_filename(dir, path, NULL);
	g_free(dir);
	return ret;
}

int config_file_error(
	const struct json_at *at, const char *path, const char *what, const char *allowed)
{
	char *found = g_strdup_printf("file \"%s\": %s", path, what);
	int r = json_error(at, found, "%s", allowed);

	g_free(found);
	return r;
}

static int key_file_check(const struct json_at *at, const char *path, int fd)
{
	struct stat st;
	char *what;
	int r;

	if (fstat(fd, &st))
		return config_file_error(at, path, g_strerror(errno), "a file that can be read");
	if (!S_ISREG(st.st_mode))
		return config_file_error(at, path, "not a regular file", "a file that holds one key");
	if (!(st.st_mode & 077))
		return 0;
	what = g_strdup_printf("mode %04o, others may read or write it", st.st_mode & 07777);
	r = config_file_error(at, path, what, "mode 0600 or less; run: chmod 600 FILE");
	g_free(what);
	return r;
}

// The text of the file without white space at its end.
static int text_file_read(const struct json_at *at, const char *path, char *text, size_t size)
{
	// O_NONBLOCK: a FIFO must not hang the start.
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), r;
	ssize_t n;

	if (fd < 0)
		return config_file_error(at, path, g_strerror(errno), "a file that can be read");
	r = key_file_check(at, path, fd);
	if (r) {
		close(fd);
		return r;
	}
	n = read(fd, text, size - 1);
	close(fd);
	if (n < 0)
		return config_file_error(at, path, g_strerror(errno), "a file that can be read");
	while (n > 0 && g_ascii_isspace(text[n - 1]))
		n--;
	text[n] = 0;
	return strlen(text) == (size_t)n ? 0
					 : json_error(at, "a file with NUL bytes",
						   "a file that holds one line of text");
}

static int key_file_read(const struct json_at *at, const char *path, uint8_t out[32])
{
	char text[KEY_FILE_MAX + 1] = "";
	int r = text_file_read(at, path, text, sizeof(text));

	if (!r)
		r = key_decode(at, text, out);
	sodium_memzero(text, sizeof(text));
	return r;
}

static int secret_check(const struct json_at *at, const char *text, size_t max)
{
	const char *c;

	for (c = text; (unsigned char)*c >= 0x20 && *c != 0x7f; c++)
		;
	if (*c || c == text || (size_t)(c - text) > max)
		return json_error(at, "a text that is none (not shown)",
			"one line of 1 to %zu printable bytes", max);
	return 0;
}

int config_secret_read(struct config_reader *r, const struct json_at *at, const char *key,
	size_t max, char **ret_text)
{
	g_autofree char *file_key = g_strconcat(key, "_file", NULL);
	struct json_at text_at = json_member(at, key), file_at = json_member(at, file_key);
	char text[SECRET_FILE_MAX + 1] = "";
	const char *file = NULL;
	int ret;

	if (!text_at.item && !file_at.item)
		return 0;
	if (text_at.item && file_at.item)
		return json_error(&file_at, "it inline and by file", "one of the two");
	if (text_at.item) {
		r->inline_secrets = true;
		if (!cJSON_IsString(text_at.item))
			return json_error(&text_at, "a value that is no text (not shown)", "a text");
		ret = secret_check(&text_at, text_at.item->valuestring, max);
		if (!ret)
			*ret_text = g_strdup(text_at.item->valuestring);
		return ret;
	}
	ret = json_text(&file_at, "the path of a file that holds one line of text", &file);
	if (!ret) {
		g_autofree char *path = config_path(&file_at, file);

		ret = text_file_read(&file_at, path, text, sizeof(text));
	}
	if (!ret)
		ret = secret_check(&file_at, text, max);
	if (!ret)
		*ret_text = g_strdup(text);
	sodium_memzero(text, sizeof(text));
	return ret;
}

int config_key_read(struct config_reader *r, const struct json_at *at, const char *key,
	uint8_t out[32], bool *ret_found)
{
	char *file_key = g_strconcat(key, "_file", NULL);
	struct json_at text_at = json_member(at, key), file_at = json_member(at, file_key);
	const char *text = NULL;
	char *path;
	int ret = 0;

	*ret_found = text_at.item || file_at.item;
	if (text_at.item && file_at.item) {
		ret = json_error(&file_at, "the key inline and by file", "one of the two");
	} else if (text_at.item) {
		if (!cJSON_IsString(text_at.item))
			ret = json_error(
				&text_at, "a value that is no text (not shown)", "%s", key_allowed);
		else
			ret = key_decode(&text_at, text_at.item->valuestring, out);
		r->inline_secrets = true;
	} else if (file_at.item) {
		ret = json_text(&file_at, "the path of a file that holds one key", &text);
		if (!ret) {
			path = config_path(&file_at, text);
			ret = key_file_read(&file_at, path, out);
			g_free(path);
		}
	}
	g_free(file_key);
	return ret;
}

int config_key_public(const struct json_at *at, uint8_t out[32])
{
	const char *text = NULL;
	int r;

	// A private key pasted here by mistake looks the same, so this one is not shown either.
	if (!cJSON_IsString(at->item))
		return json_error(at, at->item ? "a value that is no text (not shown)" : "nothing",
			"the peer's public key, 44 base64 characters, as `wg pubkey` prints");
	r = json_text(at, key_allowed, &text);
	return r ? r : key_decode(at, text, out);
}
