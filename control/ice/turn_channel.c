// SPDX-License-Identifier: BSD-3-Clause
//
// Channels of an allocation (RFC 8656 12), libnice's and ours. Main loop thread.
#include "turn_client_internal.h"

#define CHANNEL_FIRST 0x4000
#define CHANNEL_LAST  0x4fff
#define LIFETIME_MS   600000 // RFC 8656 12
#define REUSE_MS      300000 // after that: neither number nor peer before (12.1)

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

void turn_channel_confirm(const struct turn_client *t, struct turn_binding *b)
{
	b->confirmed = true;
	b->until = ice_now() + turn_scaled(t, LIFETIME_MS);
}

bool turn_channel_ready(const struct turn_binding *b)
{
	return b && b->confirmed && ice_now() < b->until;
}

// A place; one that was not asked for again for so long that the server has forgotten it is as good as new.
static struct turn_binding *place(struct turn_client *t)
{
	uint64_t now = ice_now();

	if (t->nb_channels < TURN_MAX_CHANNELS)
		return &t->channels[t->nb_channels++];
	for (unsigned int n = 0; n < TURN_MAX_CHANNELS; n++) {
		if (now >= t->channels[n].until + turn_scaled(t, REUSE_MS))
			return &t->channels[n];
	}
	return NULL;
}

struct turn_binding *turn_channel_add(
	struct turn_client *t, const struct st_addr *peer, uint16_t port_be, uint16_t number)
{
	struct turn_binding *b = turn_channel_to(t, peer, port_be);

	if (b || !(b = place(t)))
		return b;
	*b = (struct turn_binding){.peer = *peer,
		.port_be = port_be,
		.number = number,
		.until = ice_now() + turn_scaled(t, LIFETIME_MS)};
	return b;
}

uint16_t turn_channel_free_number(const struct turn_client *t)
{
	uint16_t n = CHANNEL_FIRST;

	while (n < CHANNEL_LAST && turn_channel_numbered(t, n))
		n++;
	return n;
}
