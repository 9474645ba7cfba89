// SPDX-License-Identifier: BSD-3-Clause
//
// Interface ids: one table of 255 names. Main loop thread only. An id that was put is given out
// again only when no never-used one is left, so that a late event about a removed interface rarely
// meets a new one under its number.
#include "ids.h"

#include "../../dataplane/api/st_api.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static struct {
	char name[ST_NAME_MAX]; // "" = free
	bool used;              // was given out at least once
} ids[ST_MAX_IFACES];           // [0] is never given out

static bool name_valid(const char *name)
{
	size_t len = name ? strlen(name) : 0;

	return len > 0 && len < ST_NAME_MAX;
}

static void assign(uint32_t id, const char *name)
{
	memset(ids[id].name, 0, sizeof(ids[id].name));
	memcpy(ids[id].name, name, strlen(name));
	ids[id].used = true;
}

static uint32_t free_id(void)
{
	uint32_t id, reused = 0;

	for (id = 1; id < ST_MAX_IFACES; id++) {
		if (ids[id].name[0])
			continue;
		if (!ids[id].used)
			return id;
		if (!reused)
			reused = id;
	}
	return reused;
}

uint32_t ids_find(const char *name)
{
	uint32_t id;

	if (!name_valid(name))
		return 0;
	for (id = 1; id < ST_MAX_IFACES; id++) {
		if (!strcmp(ids[id].name, name))
			return id;
	}
	return 0;
}

uint32_t ids_get(const char *name)
{
	uint32_t id;

	if (!name_valid(name))
		return 0;
	id = ids_find(name);
	if (id)
		return id;
	id = free_id();
	if (id)
		assign(id, name);
	return id;
}

const char *ids_name(uint32_t if_id)
{
	if (if_id >= ST_MAX_IFACES || !ids[if_id].name[0])
		return NULL;
	return ids[if_id].name;
}

void ids_put(const char *name)
{
	uint32_t id = ids_find(name);

	if (id)
		memset(ids[id].name, 0, sizeof(ids[id].name));
}

int ids_take(const char *name, uint32_t if_id)
{
	uint32_t known;

	if (!name_valid(name) || !if_id || if_id >= ST_MAX_IFACES)
		return -EINVAL;
	known = ids_find(name);
	if (known == if_id)
		return 0;
	if (known || ids[if_id].name[0])
		return -EEXIST;
	assign(if_id, name);
	return 0;
}
