// SPDX-License-Identifier: BSD-3-Clause
//
// struct st_addr and struct st_prefix as text and as sockaddr. An IPv4 address is v4-mapped throughout;
// 0.0.0.0/0 is ::ffff:0:0/96, so the two families never mix.
#pragma once

#include "../dataplane/api/st_api.h"

#include <stdbool.h>
#include <sys/socket.h>

#define ADDR_TEXT_MAX   46 // INET6_ADDRSTRLEN
#define PREFIX_TEXT_MAX 50
#define TUPLE_TEXT_MAX  56 // [v6]:port
#define SCOPED_TEXT_MAX (ADDR_TEXT_MAX + ST_NAME_MAX)

bool addr_is_v4(const struct st_addr *a);
bool addr_is_zero(const struct st_addr *a);       // :: or 0.0.0.0
bool addr_is_link_local(const struct st_addr *a); // fe80::/10
bool addr_parse(struct st_addr *ret, const char *text);
// With the interface of a link-local address: fe80::1%wan. ret_scope is "" where none is written; one behind
// another address is an error.
bool addr_parse_scoped(struct st_addr *ret, char ret_scope[ST_NAME_MAX], const char *text);
const char *addr_text(char out[ADDR_TEXT_MAX], const struct st_addr *a);
bool prefix_is_v4(const struct st_prefix *p);
// "10.0.0.0/8", "2001:db8::/32", or a bare address for a host. Host bits are kept in addr only if
// ret_host is given (an interface address), otherwise masked.
bool prefix_parse(struct st_prefix *ret, struct st_addr *ret_host, const char *text);
const char *prefix_text(char out[PREFIX_TEXT_MAX], const struct st_prefix *p);
void prefix_mask(struct st_prefix *p);
socklen_t addr_to_sockaddr(struct sockaddr_storage *ret, const struct st_addr *a, uint16_t port_be);
bool addr_from_sockaddr(struct st_addr *ret, uint16_t *ret_port_be, const struct sockaddr *sa);
const char *tuple_text(char out[TUPLE_TEXT_MAX], const struct st_addr *a, uint16_t port_be);
// scope "" = none: as addr_text and tuple_text.
const char *addr_text_scoped(char out[SCOPED_TEXT_MAX], const struct st_addr *a, const char *scope);
const char *tuple_text_scoped(char out[TUPLE_TEXT_MAX + ST_NAME_MAX], const struct st_addr *a,
	uint16_t port_be, const char *scope);
