// SPDX-License-Identifier: BSD-3-Clause
//
// Stamps of initiations and their file; see stamps.h. Main loop thread. One write of 32 bytes to a tmpfs per
// initiation, which a peer gets once in 5 s.
#include "stamps.h"

#include "../../crypto/tai64n.h"

#include <glib.h>
#include <sodium.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// One write, so that a killed process leaves either the old record or the new one.
struct record {
	char magic[4]; // "TAI1"
	uint8_t stamp[TAI64N_LEN];
	uint8_t check[16]; // hash of the above
};
_Static_assert(sizeof(struct record) == 32, "no implicit padding");

struct stamps {
	uint8_t floor[TAI64N_LEN];    // whoever has no stamp gets a greater one
	uint8_t greatest[TAI64N_LEN]; // in the file
	int fd;                       // -1 = no file
	bool told;                    // that it cannot be written
};

static void raise_to(uint8_t stamp[TAI64N_LEN], const uint8_t other[TAI64N_LEN])
{
	if (memcmp(other, stamp, TAI64N_LEN) > 0)
		memcpy(stamp, other, TAI64N_LEN);
}

static void record_seal(struct record *r)
{
	memcpy(r->magic, "TAI1", sizeof(r->magic));
	crypto_generichash(r->check, sizeof(r->check), (const uint8_t *)r,
		offsetof(struct record, check), NULL, 0);
}

static bool record_good(const struct record *r)
{
	struct record expected = *r;

	record_seal(&expected);
	return !memcmp(&expected, r, sizeof(*r));
}

static void keep_aside(const char *path)
{
	g_autofree char *aside = g_strconcat(path, ".bad", NULL);

	g_warning("stamps: file is damaged, kept as %s; stamps follow the clock file=%s", aside,
		path);
	if (rename(path, aside))
		g_warning("stamps: cannot keep it error=\"%s\"", strerror(errno));
}

static int file_open(const char *path, int flags)
{
	return open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags, 0600);
}

// What an earlier process wrote. A file that is empty was made and never written.
static void load(struct stamps *s, const char *path)
{
	struct record r;
	struct stat st;
	ssize_t n = pread(s->fd, &r, sizeof(r), 0);

	if (n == 0)
		return;
	if (n == sizeof(r) && !fstat(s->fd, &st) && st.st_size == sizeof(r) && record_good(&r)) {
		memcpy(s->floor, r.stamp, sizeof(s->floor));
		memcpy(s->greatest, r.stamp, sizeof(s->greatest));
		return;
	}
	keep_aside(path);
	close(s->fd);
	s->fd = file_open(path, O_CREAT | O_EXCL);
}

struct stamps *stamps_new(const char *run_dir)
{
	g_autofree char *path = g_build_filename(run_dir, STAMPS_NAME, NULL);
	struct stamps *s = g_new0(struct stamps, 1);

	s->fd = file_open(path, O_CREAT);
	if (s->fd >= 0)
		load(s, path);
	if (s->fd < 0)
		g_warning("stamps: no file, so stamps are as good as the clock when both daemons "
			  "restart file=%s error=\"%s\"",
			path, strerror(errno));
	return s;
}

void stamps_free(struct stamps *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	g_free(s);
}

static void store(struct stamps *s)
{
	struct record r;

	memcpy(r.stamp, s->greatest, sizeof(r.stamp));
	record_seal(&r);
	if (s->fd < 0 || pwrite(s->fd, &r, sizeof(r), 0) == sizeof(r) || s->told)
		return;
	g_warning("stamps: cannot write the file error=\"%s\"", strerror(errno));
	s->told = true;
}

void stamps_next(struct stamps *s, uint8_t last[TAI64N_LEN], int64_t wall_us)
{
	uint64_t us = wall_us > 0 ? (uint64_t)wall_us : 0;
	uint8_t above[TAI64N_LEN];

	memcpy(above, last, sizeof(above));
	raise_to(above, s->floor);
	tai64n_next(last, above, us / G_USEC_PER_SEC, (uint32_t)(us % G_USEC_PER_SEC) * 1000);
	if (memcmp(last, s->greatest, TAI64N_LEN) <= 0)
		return;
	memcpy(s->greatest, last, TAI64N_LEN);
	store(s);
}

void stamps_forget(struct stamps *s, const uint8_t last[TAI64N_LEN])
{
	raise_to(s->floor, last);
}
