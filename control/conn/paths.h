// SPDX-License-Identifier: BSD-3-Clause
//
// The nominated pairs of one peer: where we send, what stands by, and what is only listened to for a
// while. A new pair is in place before an old one goes (make before break). Pure: the time is an argument,
// what is to be done goes through the ops. Ids are never used twice, so an event of a pair that is gone
// finds nobody.
#pragma once

#include "../ice/ice.h"

#include <stdbool.h>
#include <stdint.h>

#define PATHS_RETIRE_MS    5000 // packets under way on the old pair, and the peer that still uses it
#define PATHS_REGAIN_MS    1000 // a direct pair must hold so long before it is used again, doubled
#define PATHS_REGAIN_SHIFT 5    // with each loss, up to 32 s
#define PATHS_NEVER        UINT64_MAX

struct conn_path {
	uint32_t id;
	uint32_t generation; // of the agent that found it; 0 = taken back after a restart
	bool lost;           // nothing comes back on it
	unsigned int losses;
	uint64_t since, regained_at;
	struct ice_path path;
};

struct conn_paths_ops {
	// Keeps the pair alive and answers the peer's checks. 0 or -errno.
	int (*keep)(uint32_t id, const struct ice_path *path, void *arg);
	void (*drop)(uint32_t id, void *arg);
	// What is sent on and listened to changed. Called with all of it in place.
	void (*changed)(void *arg);
};

struct conn_paths {
	const struct conn_paths_ops *ops;
	void *arg;
	struct conn_path *selected; // NULL = none
	struct conn_path *fallback; // kept warm
	struct conn_path *retired;  // listened to
	uint32_t next_id;
	uint64_t retire_at, regain_at; // PATHS_NEVER = not armed
	unsigned int changes;          // of selected, the first not counted
};

void paths_init(struct conn_paths *ps, const struct conn_paths_ops *ops, void *arg);
void paths_clear(struct conn_paths *ps);   // drops all
void paths_release(struct conn_paths *ps); // the memory alone

bool path_direct(const struct ice_path *p); // neither candidate is a relay
bool paths_alive(const struct conn_paths *ps);
bool paths_relayed(const struct conn_paths *ps); // selected, and not direct
struct conn_path *paths_find(const struct conn_paths *ps, uint32_t id);

// A pair was nominated. keep_better: a living direct pair of an earlier attempt stays selected and a new
// relayed one stands by. 0, or -errno of keep.
int paths_nominated(struct conn_paths *ps, uint32_t generation, const struct ice_path *path,
	bool keep_better, uint64_t now);
// As they were before a restart, the selected one first. keep is not called, the caller has them; the ids
// that they get.
uint32_t paths_restore(struct conn_paths *ps, const struct ice_path *path, uint64_t now);
uint32_t paths_restore_fallback(struct conn_paths *ps, const struct ice_path *path, uint64_t now);
uint32_t paths_restore_retired(struct conn_paths *ps, const struct ice_path *path, uint64_t now);
// The pair with that id. True: the selected one is lost and nothing lives beside it.
bool paths_lost(struct conn_paths *ps, uint32_t id, uint64_t now);
void paths_regained(struct conn_paths *ps, uint32_t id, uint64_t now);
void paths_renominated(struct conn_paths *ps, uint32_t id, const struct ice_path *path);
uint64_t paths_next(const struct conn_paths *ps);
void paths_expire(struct conn_paths *ps, uint64_t now);
