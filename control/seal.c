// SPDX-License-Identifier: BSD-3-Clause
//
// Sealed secrets and the file of their key; see seal.h. Main loop thread.
#include "seal.h"

#include <glib.h>
#include <sodium.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define SEAL_VERSION 1
#define KEY_LEN      crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define NONCE_LEN    crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_LEN      crypto_aead_xchacha20poly1305_ietf_ABYTES
_Static_assert(SEAL_OVERHEAD == 1 + NONCE_LEN + TAG_LEN, "as the header says");

struct seal {
	uint8_t key[KEY_LEN];
};

// ---- the key's file ----------------------------------------------------------------------------------

static const char *why_unfit(const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "not a regular file";
	if (st->st_uid != geteuid())
		return "owned by another user";
	if (st->st_mode & 077)
		return "open to other users";
	if (st->st_size != KEY_LEN)
		return "of a wrong length";
	return NULL;
}

// NULL: key is filled. Else why it was not; "" when there is no file.
static const char *key_read(const char *path, uint8_t key[KEY_LEN])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	const char *why;
	struct stat st;

	if (fd < 0)
		return errno == ENOENT ? "" : strerror(errno);
	why = fstat(fd, &st) ? strerror(errno) : why_unfit(&st);
	if (!why && read(fd, key, KEY_LEN) != KEY_LEN)
		why = "not readable";
	close(fd);
	return why;
}

static int key_write(const char *path, const uint8_t key[KEY_LEN])
{
	g_autofree char *fresh = g_strconcat(path, ".new", NULL);
	int fd, err = 0;

	unlink(fresh); // of a straitd that was killed in between
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, key, KEY_LEN) != KEY_LEN)
		err = -EIO;
	if (close(fd) && !err)
		err = -errno;
	if (!err && rename(fresh, path))
		err = -errno;
	if (err)
		unlink(fresh);
	return err;
}

static void keep_aside(const char *path, const char *why)
{
	g_autofree char *aside = g_strconcat(path, ".bad", NULL);

	g_warning("seal: key file is %s, kept as %s; what was sealed with it is lost file=%s", why,
		aside, path);
	if (rename(path, aside))
		g_warning("seal: cannot keep it error=\"%s\"", strerror(errno));
}

static int key_load(const char *path, uint8_t key[KEY_LEN])
{
	const char *why = key_read(path, key);

	if (!why)
		return 0;
	if (*why)
		keep_aside(path, why);
	randombytes_buf(key, KEY_LEN);
	return key_write(path, key);
}

static void warn_about_disk(const char *run_dir)
{
	struct statfs fs;

	if (!statfs(run_dir, &fs) && fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC)
		g_warning("seal: the run directory is not a tmpfs, so the key of sealed secrets "
			  "reaches a disk directory=%s",
			run_dir);
}

struct seal *seal_new(const char *run_dir, char **ret_error)
{
	g_autofree char *path = g_build_filename(run_dir, SEAL_KEY_NAME, NULL);
	struct seal *s = sodium_malloc(sizeof(*s));
	int err;

	if (!s) {
		*ret_error = g_strdup("no locked memory for the sealing key; raise LimitMEMLOCK");
		return NULL;
	}
	err = key_load(path, s->key);
	if (err) {
		*ret_error = g_strdup_printf("cannot write %s: %s", path, strerror(-err));
		sodium_free(s);
		return NULL;
	}
	warn_about_disk(run_dir);
	return s;
}

void seal_free(struct seal *s)
{
	sodium_free(s); // wipes
}

// ---- sealing -----------------------------------------------------------------------------------------

size_t seal_close(const struct seal *s, uint8_t *out, const void *plain, size_t plain_len,
	const void *context, size_t context_len)
{
	out[0] = SEAL_VERSION;
	randombytes_buf(out + 1, NONCE_LEN);
	crypto_aead_xchacha20poly1305_ietf_encrypt(out + 1 + NONCE_LEN, NULL, plain, plain_len,
		context, context_len, NULL, out + 1, s->key);
	return plain_len + SEAL_OVERHEAD;
}

int seal_open(const struct seal *s, void *out, const uint8_t *sealed, size_t sealed_len,
	const void *context, size_t context_len)
{
	if (sealed_len < SEAL_OVERHEAD || sealed_len - SEAL_OVERHEAD > INT_MAX ||
		sealed[0] != SEAL_VERSION)
		return -EBADMSG;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed + 1 + NONCE_LEN,
		    sealed_len - 1 - NONCE_LEN, context, context_len, sealed + 1, s->key))
		return -EBADMSG;
	return (int)(sealed_len - SEAL_OVERHEAD);
}

void seal_derive(const struct seal *s, const char *purpose, uint8_t out[SEAL_DERIVED_LEN])
{
	crypto_generichash(out, SEAL_DERIVED_LEN, (const uint8_t *)purpose, strlen(purpose), s->key,
		sizeof(s->key));
}
