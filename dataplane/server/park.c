// SPDX-License-Identifier: BSD-3-Clause
//
// Parked descriptors, in an array that is searched: they come and go with connections of peers, not with
// packets. main only.
#include "park.h"

#include "../api/st_api.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

#define PARKED_MAX 4096 // as the cap of ST_SOCKET: one per relayed peer, beside those of interfaces

static struct {
	struct parked {
		uint32_t id;
		int fd;
		bool used;
	} all[PARKED_MAX];
	int offered;
} park = {.offered = -1};

static struct parked *parked_find(uint32_t id)
{
	for (unsigned int i = 0; i < PARKED_MAX; i++)
		if (park.all[i].used && park.all[i].id == id)
			return &park.all[i];
	return NULL;
}

static struct parked *parked_free_one(void)
{
	for (unsigned int i = 0; i < PARKED_MAX; i++)
		if (!park.all[i].used)
			return &park.all[i];
	return NULL;
}

void park_offer(int fd)
{
	park_release();
	park.offered = fd;
}

void park_release(void)
{
	if (park.offered >= 0)
		close(park.offered);
	park.offered = -1;
}

int park_fd(uint32_t socket_id)
{
	const struct parked *p = parked_find(socket_id);

	return p == NULL ? -1 : p->fd;
}

// A repeated SET may bring a new descriptor or none; without one the parked one stays.
int socket_set(const void *body, const void *old)
{
	const struct st_socket *s = body;
	struct parked *p = parked_find(s->key.socket_id);

	if (p != NULL && park.offered < 0)
		return 0;
	if (park.offered < 0)
		return -EBADF;
	if (p == NULL)
		p = parked_free_one();
	if (p == NULL)
		return -ENOSPC;
	if (p->used)
		close(p->fd);
	*p = (struct parked){.id = s->key.socket_id, .fd = park.offered, .used = true};
	park.offered = -1;
	return 0;
}

void socket_del(const void *body)
{
	const struct st_socket *s = body;
	struct parked *p = parked_find(s->key.socket_id);

	if (p == NULL)
		return;
	close(p->fd);
	p->used = false;
}
