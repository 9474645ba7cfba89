// SPDX-License-Identifier: BSD-3-Clause
//
// One line about a packet from its first bytes, as far as these tell.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SUMMARY_MAX 192

// Ethernet, or bare IPv4/IPv6. Never reads beyond len.
const char *summary_text(char out[SUMMARY_MAX], const uint8_t *p, size_t len);
