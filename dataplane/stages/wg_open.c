// SPDX-License-Identifier: BSD-3-Clause
//
// Verifies and decrypts, in bursts, on whichever lcore received the packet. Writes nothing but the packet:
// before the tag is verified nothing in the box may change.
#include "../stage.h"
#include "../tables/peer.h"
#include "crypt.h"
#include "header.h"

static void finish(struct lcore *lc)
{
	struct aead_scratch *s = lc->opening;

	crypt_open(lc, s);
	for (uint32_t i = 0; i < s->n; i++) {
		if (unlikely(!s->ops[i].ok)) {
			stage_drop(lc, s->m[i], ST_DROP_wg_bad_tag);
			continue;
		}
		packet_of(s->m[i])->flags |= PACKET_F_AEAD_OK;
		stage_push(lc, ST_STAGE_wg_accept, s->m[i]);
	}
	s->n = s->segs_used = 0;
}

void wg_open_run(struct lcore *lc, struct vec *in)
{
	struct aead_scratch *s = lc->opening;

	s->n = s->segs_used = 0;
	for (uint32_t i = 0; i < in->n; i++) {
		struct rte_mbuf *m = in->m[i];
		const struct packet *p = packet_of(m);
		uint32_t off = p->wg_off + (uint32_t)sizeof(struct message_data);

		if (unlikely(!crypt_add(s, m, off, p->keypair->recv_key, p->counter))) {
			stage_drop(lc, m, ST_DROP_wg_malformed);
			continue;
		}
		if (crypt_full(s))
			finish(lc);
	}
	if (s->n > 0)
		finish(lc);
}
