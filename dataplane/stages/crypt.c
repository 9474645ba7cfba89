// SPDX-License-Identifier: BSD-3-Clause
//
// Gathers AEAD operations over mbuf chains. Runs on lcores; knows nothing of WireGuard.
#include "crypt.h"

#include <string.h>

// The last two segments when the tag straddles them. Returns the last but one.
static struct rte_mbuf *last_but_one(struct rte_mbuf *m)
{
	while (m->next->next != NULL)
		m = m->next;
	return m;
}

static void gather(
	struct aead_scratch *s, struct aead_op *op, struct rte_mbuf *m, uint32_t off, uint32_t len)
{
	while (off >= m->data_len && m->next != NULL) {
		off -= m->data_len;
		m = m->next;
	}
	for (; len > 0; m = m->next, off = 0) {
		uint32_t n = RTE_MIN((uint32_t)m->data_len - off, len);

		if (n == 0)
			continue;
		op->segs[op->nb_segs++] = (struct aead_seg){
			.data = rte_pktmbuf_mtod_offset(m, uint8_t *, off), .len = n};
		len -= n;
	}
	s->segs_used += op->nb_segs;
}

static void find_tag(struct aead_scratch *s, struct aead_op *op, struct rte_mbuf *m)
{
	struct rte_mbuf *last = rte_pktmbuf_lastseg(m);
	struct rte_mbuf *before;
	uint32_t split;

	s->split[s->n] = 0;
	if (likely(last->data_len >= AEAD_TAG_LEN)) {
		op->tag = rte_pktmbuf_mtod_offset(
			last, uint8_t *, (uint32_t)last->data_len - AEAD_TAG_LEN);
		return;
	}
	before = last_but_one(m);
	split = last->data_len;
	op->tag = s->tags[s->n];
	memcpy(op->tag,
		rte_pktmbuf_mtod_offset(
			before, uint8_t *, (uint32_t)before->data_len - (AEAD_TAG_LEN - split)),
		AEAD_TAG_LEN - split);
	memcpy(op->tag + AEAD_TAG_LEN - split, rte_pktmbuf_mtod(last, uint8_t *), split);
	s->split[s->n] = (uint8_t)split;
}

// Segments are as IP fragments or devices leave them; only a tag over three of them is refused.
static bool tag_reachable(struct rte_mbuf *m)
{
	struct rte_mbuf *last = rte_pktmbuf_lastseg(m);

	return last->data_len >= AEAD_TAG_LEN ||
	       (m->nb_segs > 1 && last_but_one(m)->data_len + last->data_len >= AEAD_TAG_LEN &&
		       last->data_len > 0);
}

bool crypt_add(struct aead_scratch *s, struct rte_mbuf *m, uint32_t off, const uint8_t *key,
	uint64_t nonce)
{
	struct aead_op *op = &s->ops[s->n];

	if (unlikely(m->nb_segs > AEAD_MAX_SEGS || !tag_reachable(m)))
		return false;
	*op = (struct aead_op){.key = key, .nonce = nonce, .segs = &s->segs[s->segs_used]};
	find_tag(s, op, m);
	if (likely(m->nb_segs == 1)) {
		op->segs[0] = (struct aead_seg){.data = rte_pktmbuf_mtod_offset(m, uint8_t *, off),
			.len = m->pkt_len - off - AEAD_TAG_LEN};
		op->nb_segs = 1;
		s->segs_used++;
	} else {
		gather(s, op, m, off, m->pkt_len - off - AEAD_TAG_LEN);
	}
	s->m[s->n++] = m;
	return true;
}

void crypt_open(struct lcore *lc, struct aead_scratch *s)
{
	lc->aead->open(lc->aead_ctx, s->ops, s->n);
}

static void return_tag(struct aead_scratch *s, unsigned int i)
{
	struct rte_mbuf *before = last_but_one(s->m[i]);
	uint32_t split = s->split[i];

	memcpy(rte_pktmbuf_mtod_offset(
		       before, uint8_t *, (uint32_t)before->data_len - (AEAD_TAG_LEN - split)),
		s->tags[i], AEAD_TAG_LEN - split);
	memcpy(rte_pktmbuf_mtod(before->next, uint8_t *), s->tags[i] + AEAD_TAG_LEN - split, split);
}

void crypt_seal(struct lcore *lc, struct aead_scratch *s)
{
	lc->aead->seal(lc->aead_ctx, s->ops, s->n);
	for (uint32_t i = 0; i < s->n; i++)
		if (unlikely(s->split[i] != 0))
			return_tag(s, i);
}
