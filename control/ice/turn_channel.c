// SPDX-License-Identifier: BSD-3-Clause
//
// Channels of an allocation (RFC 8656 12), libnice's and ours. Main loop thread.
#include "turn_client_internal.h"

#define CHANNEL_FIRST 0x4000
#define CHANNEL_LAST  0x4fff

struct turn_binding *turn_channel_to(
	const struct turn_client *t, const struct st_addr *peer, uint16_t port)
{
	for (unsigned int n = 0; n < t->nb_channels; n++) {
		if (ice_same(&t->channels[n].peer, t->channels[n].port_be, peer, port))
			return (struct turn_binding *)&t->channels[n];
	}
	return NULL;
}

const struct turn_binding *turn_channel_numbered(const struct turn_client *t, uint16_t number)
{
	for (unsigned int n = 0; n < t->nb_channels; n++) {
		if (t->channels[n].number == number)
			return &t->channels[n];
	}
	return NULL;
}

struct turn_binding *turn_channel_add(
	struct turn_client *t, const struct st_addr *peer, uint16_t port_be, uint16_t number)
{
	struct turn_binding *b = turn_channel_to(t, peer, port_be);

	if (b || t->nb_channels == TURN_MAX_CHANNELS)
		return b;
	b = &t->channels[t->nb_channels++];
	*b = (struct turn_binding){.peer = *peer, .port_be = port_be, .number = number};
	return b;
}

uint16_t turn_channel_free_number(const struct turn_client *t)
{
	uint16_t n = CHANNEL_FIRST;

	while (n < CHANNEL_LAST && turn_channel_numbered(t, n))
		n++;
	return n;
}
