// SPDX-License-Identifier: BSD-3-Clause
//
// URLs of STUN and TURN servers (RFC 7064, RFC 7065). No state, no resolving.
#pragma once

#include "ice.h"

#define ICE_HOST_MAX 255

struct ice_url {
	bool turn;
	enum ice_transport transport;
	char host[ICE_HOST_MAX + 1]; // a name, or a numeric address without brackets
	uint16_t port;
};

// 0, or -EINVAL with *ret_why, a static text.
int ice_url_parse(struct ice_url *ret, const char *text, const char **ret_why);
