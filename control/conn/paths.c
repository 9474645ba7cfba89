// SPDX-License-Identifier: BSD-3-Clause
//
// The nominated pairs of a peer; see paths.h. Pure.
#include "paths.h"

#include <glib.h>
#include <sodium.h>

#include <errno.h>
#include <string.h>

void paths_init(struct conn_paths *ps, const struct conn_paths_ops *ops, void *arg)
{
	*ps = (struct conn_paths){
		.ops = ops, .arg = arg, .retire_at = PATHS_NEVER, .regain_at = PATHS_NEVER};
}

// Without a word to ops.
static void path_free(struct conn_path *p)
{
	sodium_memzero(p, sizeof(*p)); // passwords
	g_free(p);
}

static void drop(struct conn_paths *ps, struct conn_path **p)
{
	if (!*p)
		return;
	ps->ops->drop((*p)->id, ps->arg);
	path_free(*p);
	*p = NULL;
}

static void retire(struct conn_paths *ps, struct conn_path **p, uint64_t now)
{
	if (!*p)
		return;
	drop(ps, &ps->retired);
	ps->retired = *p;
	*p = NULL;
	ps->retire_at = now + PATHS_RETIRE_MS;
}

void paths_clear(struct conn_paths *ps)
{
	bool any = ps->selected || ps->fallback || ps->retired;

	drop(ps, &ps->selected);
	drop(ps, &ps->fallback);
	drop(ps, &ps->retired);
	ps->retire_at = ps->regain_at = PATHS_NEVER;
	if (any)
		ps->ops->changed(ps->arg);
}

void paths_release(struct conn_paths *ps)
{
	struct conn_path **all[] = {&ps->selected, &ps->fallback, &ps->retired};

	for (size_t n = 0; n < G_N_ELEMENTS(all); n++) {
		if (*all[n])
			path_free(*all[n]);
		*all[n] = NULL;
	}
}

bool path_direct(const struct ice_path *p)
{
	return !p->relayed && p->remote_type != ICE_RELAY;
}

bool paths_alive(const struct conn_paths *ps)
{
	return ps->selected && !ps->selected->lost;
}

bool paths_relayed(const struct conn_paths *ps)
{
	return ps->selected && !path_direct(&ps->selected->path);
}

struct conn_path *paths_find(const struct conn_paths *ps, uint32_t id)
{
	if (ps->selected && ps->selected->id == id)
		return ps->selected;
	if (ps->fallback && ps->fallback->id == id)
		return ps->fallback;
	return ps->retired && ps->retired->id == id ? ps->retired : NULL;
}

static struct conn_path *path_new(
	struct conn_paths *ps, uint32_t generation, const struct ice_path *path, uint64_t now)
{
	struct conn_path *p = g_new0(struct conn_path, 1);

	p->id = ++ps->next_id;
	p->generation = generation;
	p->since = now;
	p->path = *path;
	return p;
}

// The new one is selected. What it replaces stands by if that makes two different kinds.
static void select_new(struct conn_paths *ps, struct conn_path *p, uint64_t now)
{
	struct conn_path *old = ps->selected;

	ps->changes += old != NULL;
	ps->selected = p;
	if (old && path_direct(&old->path) != path_direct(&p->path)) {
		retire(ps, &ps->fallback, now);
		ps->fallback = old;
	} else {
		retire(ps, &old, now);
	}
	// A relay beside a relay keeps nothing that one would not.
	if (ps->fallback && path_direct(&ps->fallback->path) == path_direct(&p->path))
		retire(ps, &ps->fallback, now);
	ps->regain_at = PATHS_NEVER;
}

int paths_nominated(struct conn_paths *ps, uint32_t generation, const struct ice_path *path,
	bool keep_better, uint64_t now)
{
	struct conn_path *p = path_new(ps, generation, path, now);
	int r = ps->ops->keep(p->id, path, ps->arg);

	if (r) {
		path_free(p);
		return r;
	}
	if (keep_better && paths_alive(ps) && ps->selected->generation != generation &&
		path_direct(&ps->selected->path) && !path_direct(path)) {
		retire(ps, &ps->fallback, now);
		ps->fallback = p;
	} else {
		select_new(ps, p, now);
	}
	ps->ops->changed(ps->arg);
	return 0;
}

uint32_t paths_restore(struct conn_paths *ps, const struct ice_path *path, uint64_t now)
{
	ps->selected = path_new(ps, 0, path, now);
	return ps->selected->id;
}

uint32_t paths_restore_fallback(struct conn_paths *ps, const struct ice_path *path, uint64_t now)
{
	ps->fallback = path_new(ps, 0, path, now);
	return ps->fallback->id;
}

uint32_t paths_restore_retired(struct conn_paths *ps, const struct ice_path *path, uint64_t now)
{
	ps->retired = path_new(ps, 0, path, now);
	ps->retire_at = now + PATHS_RETIRE_MS;
	return ps->retired->id;
}

static void swap(struct conn_paths *ps)
{
	struct conn_path *p = ps->selected;

	ps->selected = ps->fallback;
	ps->fallback = p;
	ps->regain_at = PATHS_NEVER;
	ps->changes++;
	ps->ops->changed(ps->arg);
}

bool paths_lost(struct conn_paths *ps, uint32_t id, uint64_t now)
{
	struct conn_path *p = paths_find(ps, id);

	if (!p || p->lost)
		return false;
	p->lost = true;
	p->losses++;
	if (p == ps->fallback)
		ps->regain_at = PATHS_NEVER;
	if (p != ps->selected)
		return false;
	if (!ps->fallback || ps->fallback->lost)
		return true;
	swap(ps);
	return false;
}

void paths_regained(struct conn_paths *ps, uint32_t id, uint64_t now)
{
	struct conn_path *p = paths_find(ps, id);

	if (!p || !p->lost)
		return;
	p->lost = false;
	p->regained_at = now;
	if (p != ps->fallback)
		return;
	if (ps->selected->lost)
		swap(ps);
	else if (path_direct(&p->path) && !path_direct(&ps->selected->path))
		ps->regain_at =
			now + ((uint64_t)PATHS_REGAIN_MS << MIN(p->losses - 1, PATHS_REGAIN_SHIFT));
}

void paths_renominated(struct conn_paths *ps, uint32_t id, const struct ice_path *path)
{
	struct conn_path *p = paths_find(ps, id);

	if (!p)
		return;
	p->path = *path;
	ps->ops->changed(ps->arg);
}

uint64_t paths_next(const struct conn_paths *ps)
{
	return MIN(ps->retire_at, ps->regain_at);
}

void paths_expire(struct conn_paths *ps, uint64_t now)
{
	if (now >= ps->retire_at) {
		ps->retire_at = PATHS_NEVER;
		drop(ps, &ps->retired);
		ps->ops->changed(ps->arg);
	}
	if (now >= ps->regain_at) {
		ps->regain_at = PATHS_NEVER;
		if (ps->fallback && !ps->fallback->lost)
			swap(ps);
	}
}
