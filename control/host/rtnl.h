// SPDX-License-Identifier: BSD-3-Clause
//
// One rtnetlink socket for requests and dumps, synchronous: the kernel answers inside the call. A socket
// belongs to one thread.
#pragma once

#include "../../dataplane/api/st_api.h"

#include <libmnl/libmnl.h>

#include <stdbool.h>
#include <stdint.h>

#define RTNL_BUF 32768 // the kernel fills dumps up to this

struct rtnl;

struct rtnl *rtnl_open(void); // NULL with errno
void rtnl_close(struct rtnl *r);

// A message to be filled and sent; valid until the next one of this socket.
struct nlmsghdr *rtnl_message(
	struct rtnl *r, uint16_t type, uint16_t flags, const void *header, size_t header_len);
typedef void (*rtnl_each)(const struct nlmsghdr *nlh, void *arg);
// Sends and waits for the answer; each (may be NULL) gets every message of it. 0 or -errno; a dump that
// was disturbed by a change is repeated by the caller: -EINTR.
int rtnl_send(struct rtnl *r, struct nlmsghdr *nlh, rtnl_each each, void *arg);
// Dumps type for a family, once; -EINTR as above.
int rtnl_dump(struct rtnl *r, uint16_t type, uint8_t family, rtnl_each each, void *arg);
// What the kernel said about the last error, or strerror of it.
const char *rtnl_error(const struct rtnl *r);

// Attributes by type, NULL where absent. False if there was one above max.
bool rtnl_attrs(
	const struct nlmsghdr *nlh, size_t header_len, const struct nlattr **ret, unsigned int max);
bool rtnl_nested(const struct nlattr *nest, const struct nlattr **ret, unsigned int max);
uint32_t rtnl_u32(const struct nlattr *a, uint32_t otherwise); // absent or short: otherwise
bool rtnl_addr(const struct nlattr *a, uint8_t family, struct st_addr *ret);
void rtnl_put_addr(struct nlmsghdr *nlh, uint16_t type, const struct st_addr *a);
