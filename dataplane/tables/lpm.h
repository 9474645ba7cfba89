// SPDX-License-Identifier: BSD-3-Clause
//
// Longest-prefix match: a path-compressed binary trie per address family, keyed by 128 bits (IPv4 is
// v4-mapped). Its size grows with its content. One writer (main); lcores look up under QSBR without
// locks: nodes are published by one pointer store and freed after quiescence.
#pragma once

#include "../api/st_api.h"

#include <stdbool.h>
#include <stdint.h>

struct lpm;

struct lpm *lpm_new(void);
void lpm_free(struct lpm *l); // only when no lcore can reach it
// value is not NULL. Replaces and returns the former value of this very prefix in ret_old (or NULL).
int lpm_set(struct lpm *l, bool ipv6, const struct st_prefix *p, void *value, void **ret_old);
void *lpm_del(struct lpm *l, bool ipv6, const struct st_prefix *p); // the former value or NULL
void *lpm_lookup(const struct lpm *l, bool ipv6, const struct st_addr *a); // lcore
// Also tells how long the matching prefix is (128-bit count).
void *lpm_lookup_plen(const struct lpm *l, bool ipv6, const struct st_addr *a, uint8_t *ret_plen);
unsigned int lpm_count(const struct lpm *l);
