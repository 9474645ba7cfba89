// SPDX-License-Identifier: BSD-3-Clause
//
// Puts fragmented UDP datagrams to this box together, since WireGuard's header is in the first fragment
// only. Fragments of one packet meet on one lcore, chosen by a hash of what they have in common.
// rte_ip_frag is not used for this: in DPDK 22.11 it neither sees overlaps, nor shares its table out
// between sources, nor tells why it drops.
#include "reassemble.h"

#include "../stage.h"
#include "../tables/route.h"
#include "../trace.h"
#include "checksum.h"
#include "header.h"

#include <rte_hash_crc.h>
#include <rte_malloc.h>

#define BUCKETS 1024 // a power of 2
#define SOURCES 256  // counters of sources, by hash
#define NONE    UINT16_MAX

struct key {
	struct st_addr src, dst;
	uint32_t id;
	uint32_t proto;
};
_Static_assert(sizeof(struct key) == 40, "hashed as bytes, no padding");

// One packet under way. Its fragments are a list in order of offset through packet.next; a fragment's
// offset and length of payload are in packet.counter.
struct entry {
	struct key key;
	uint64_t deadline;
	struct rte_mbuf *head;
	uint32_t have;  // bytes of payload
	uint32_t total; // bytes, 0 = last fragment not seen
	uint16_t fragments;
	uint16_t bucket_next;
	uint16_t older, newer; // in the order of deadlines
	uint16_t source;
	uint8_t ecn_seen; // bit per ECN value
	bool poisoned;    // overlapped: everything of it is dropped until the deadline
};

struct reassembly {
	uint32_t seed;
	uint32_t count;
	uint32_t mbufs;
	uint16_t free_head;
	uint16_t oldest, newest;
	uint16_t buckets[BUCKETS];
	uint16_t per_source[SOURCES];
	struct entry entries[REASSEMBLY_PACKETS];
};

struct fragment {
	struct key key;
	uint32_t hdr; // from data_off to the payload
	uint32_t off, len;
	bool more;
};

// ---- table -----------------------------------------------------------------------------------------

struct reassembly *reassembly_new(uint32_t seed)
{
	struct reassembly *r = rte_zmalloc("reassembly", sizeof(*r), RTE_CACHE_LINE_SIZE);

	if (r == NULL)
		return NULL;
	r->seed = seed;
	r->oldest = r->newest = NONE;
	for (unsigned int i = 0; i < BUCKETS; i++)
		r->buckets[i] = NONE;
	for (unsigned int i = 0; i < REASSEMBLY_PACKETS; i++)
		r->entries[i].bucket_next = i + 1 < REASSEMBLY_PACKETS ? (uint16_t)(i + 1) : NONE;
	return r;
}

uint32_t reassembly_count(const struct reassembly *r)
{
	return r->count;
}

static uint32_t hash_key(const struct reassembly *r, const struct key *k)
{
	return rte_hash_crc(k, sizeof(*k), r->seed);
}

static struct entry *find(struct reassembly *r, const struct key *k)
{
	for (uint16_t i = r->buckets[hash_key(r, k) & (BUCKETS - 1)]; i != NONE;
		i = r->entries[i].bucket_next)
		if (memcmp(&r->entries[i].key, k, sizeof(*k)) == 0)
			return &r->entries[i];
	return NULL;
}

static struct entry *add(struct reassembly *r, const struct key *k, uint64_t deadline)
{
	uint16_t source = rte_hash_crc(&k->src, sizeof(k->src), r->seed) & (SOURCES - 1);
	uint16_t *bucket = &r->buckets[hash_key(r, k) & (BUCKETS - 1)];
	uint16_t i = r->free_head;
	struct entry *e;

	if (r->count == REASSEMBLY_PACKETS || r->per_source[source] >= REASSEMBLY_PER_SOURCE)
		return NULL;
	e = &r->entries[i];
	r->free_head = e->bucket_next;
	*e = (struct entry){.key = *k,
		.deadline = deadline,
		.bucket_next = *bucket,
		.older = r->newest,
		.newer = NONE,
		.source = source};
	*bucket = i;
	if (r->newest != NONE)
		r->entries[r->newest].newer = i;
	else
		r->oldest = i;
	r->newest = i;
	r->per_source[source]++;
	r->count++;
	return e;
}

// The entry's fragments have been taken out of it.
static void del(struct reassembly *r, struct entry *e)
{
	uint16_t i = (uint16_t)(e - r->entries);
	uint16_t *at = &r->buckets[hash_key(r, &e->key) & (BUCKETS - 1)];

	while (*at != i)
		at = &r->entries[*at].bucket_next;
	*at = e->bucket_next;
	if (e->older != NONE)
		r->entries[e->older].newer = e->newer;
	else
		r->oldest = e->newer;
	if (e->newer != NONE)
		r->entries[e->newer].older = e->older;
	else
		r->newest = e->older;
	r->per_source[e->source]--;
	r->count--;
	e->bucket_next = r->free_head;
	r->free_head = i;
}

static struct rte_mbuf *pop(struct reassembly *r, struct entry *e)
{
	struct rte_mbuf *m = e->head;

	e->head = packet_of(m)->next;
	packet_of(m)->next = NULL;
	r->mbufs--;
	return m;
}

static void drop_fragments(struct lcore *lc, struct entry *e, enum st_drop why)
{
	while (e->head != NULL)
		stage_drop(lc, pop(lc->frags, e), why);
}

void reassembly_free(struct reassembly *r)
{
	if (r == NULL)
		return;
	while (r->oldest != NONE) {
		struct entry *e = &r->entries[r->oldest];

		while (e->head != NULL)
			rte_pktmbuf_free(pop(r, e));
		del(r, e);
	}
	rte_free(r);
}

void reassemble_expire(struct lcore *lc)
{
	struct reassembly *r = lc->frags;

	while (unlikely(r->oldest != NONE) && r->entries[r->oldest].deadline <= lc->now) {
		struct entry *e = &r->entries[r->oldest];

		drop_fragments(lc, e, ST_DROP_frag_timeout);
		del(r, e);
	}
}

// ---- one fragment ----------------------------------------------------------------------------------

static void parse_ipv4(struct rte_mbuf *m, struct fragment *f)
{
	const struct rte_ipv4_hdr *h = packet_ipv4(m);
	uint16_t fo = rte_be_to_cpu_16(h->fragment_offset);
	uint32_t hdr = (h->version_ihl & 0xfU) * 4;

	f->key.id = h->packet_id;
	f->key.proto = h->next_proto_id;
	f->hdr = packet_of(m)->l3_off + hdr;
	f->off = (fo & RTE_IPV4_HDR_OFFSET_MASK) * 8U;
	f->len = rte_be_to_cpu_16(h->total_length) - hdr;
	f->more = fo & RTE_IPV4_HDR_MF_FLAG;
}

static void parse_ipv6(struct rte_mbuf *m, struct fragment *f)
{
	const struct rte_ipv6_hdr *h = packet_ipv6(m);
	struct header_ipv6_frag fh;
	uint16_t fo;

	memcpy(&fh, h + 1, sizeof(fh));
	fo = rte_be_to_cpu_16(fh.offset);
	f->key.id = fh.id;
	f->key.proto = fh.next;
	f->hdr = packet_of(m)->l3_off + (uint32_t)(sizeof(*h) + sizeof(fh));
	f->off = fo & 0xfff8;
	f->len = rte_be_to_cpu_16(h->payload_len) - (uint32_t)sizeof(fh);
	f->more = fo & 1;
}

static void parse(struct rte_mbuf *m, struct fragment *f)
{
	memset(f, 0, sizeof(*f));
	packet_addrs(m, &f->key.src, &f->key.dst);
	if (packet_is_ipv6(packet_of(m)))
		parse_ipv6(m, f);
	else
		parse_ipv4(m, f);
}

// Only UDP to the box itself is put together; transit fragments are routed, others are the kernel's.
static bool is_ours(struct rte_mbuf *m, const struct fragment *f)
{
	struct route_flow flow = {
		.src = f->key.src,
		.dst = f->key.dst,
		.iif = packet_of(m)->iif,
		.ip_proto = (uint8_t)f->key.proto,
		.ipv6 = packet_is_ipv6(packet_of(m)),
	};
	struct route_result r;

	if (f->key.proto != IPPROTO_UDP)
		return false;
	route_lookup(&flow, &r);
	return r.action == ST_ROUTE_LOCAL;
}

static bool is_tiny(const struct fragment *f)
{
	if (f->len == 0 || (f->more && f->len % 8 != 0))
		return true;
	return f->off == 0 && f->len < sizeof(struct rte_udp_hdr);
}

static uint32_t off_of(struct rte_mbuf *m)
{
	return (uint32_t)(packet_of(m)->counter >> 32);
}

static uint32_t end_of(struct rte_mbuf *m)
{
	return off_of(m) + (uint32_t)packet_of(m)->counter;
}

enum insert_result {
	INSERT_OK,
	INSERT_DUPLICATE,
	INSERT_OVERLAP,
};

// Into the list by offset.
static enum insert_result insert(struct entry *e, struct rte_mbuf *m, const struct fragment *f)
{
	struct rte_mbuf *before = NULL;
	struct rte_mbuf *after = e->head;
	uint32_t end = f->off + f->len;

	while (after != NULL && off_of(after) < f->off) {
		before = after;
		after = packet_of(after)->next;
	}
	if (after != NULL && off_of(after) == f->off && end_of(after) == end)
		return INSERT_DUPLICATE;
	if ((before != NULL && end_of(before) > f->off) || (after != NULL && off_of(after) < end))
		return INSERT_OVERLAP;
	if (e->total != 0 && (end > e->total || (!f->more && end != e->total)))
		return INSERT_OVERLAP;
	if (!f->more && after != NULL) // something lies behind the end
		return INSERT_OVERLAP;
	packet_of(m)->counter = (uint64_t)f->off << 32 | f->len;
	packet_of(m)->next = after;
	if (before != NULL)
		packet_of(before)->next = m;
	else
		e->head = m;
	if (!f->more)
		e->total = end;
	e->have += f->len;
	e->fragments++;
	return INSERT_OK;
}

// ---- the whole packet --------------------------------------------------------------------------------

static uint8_t merged_ecn(uint8_t seen)
{
	if ((seen & 1U << 3) && !(seen & 1U << 0)) // CE on any marks all (RFC 3168 section 5.3)
		return 3;
	return seen & 1U << 0 ? 0 : seen & 1U << 2 ? 2 : 1;
}

static void fix_ipv4(struct rte_mbuf *m, uint8_t ecn)
{
	struct rte_ipv4_hdr *h = packet_ipv4(m);

	h->total_length = rte_cpu_to_be_16((uint16_t)packet_ip_len(m, packet_of(m)));
	h->fragment_offset = 0;
	h->type_of_service = (uint8_t)((h->type_of_service & ~3) | ecn);
	h->hdr_checksum = 0;
	h->hdr_checksum = (uint16_t)~sum_fold(sum_words(h, h->version_ihl & 0xf));
}

// Takes the fragment header out by moving what is in front of it.
static void fix_ipv6(struct rte_mbuf *m, uint8_t ecn)
{
	uint32_t head = packet_of(m)->l3_off + (uint32_t)sizeof(struct rte_ipv6_hdr);
	uint8_t *at = rte_pktmbuf_mtod(m, uint8_t *);
	uint8_t next = at[head];
	struct rte_ipv6_hdr *h;

	memmove(at + IPV6_FRAG_LEN, at, head);
	rte_pktmbuf_adj(m, IPV6_FRAG_LEN);
	h = packet_ipv6(m);
	h->proto = next;
	h->payload_len = rte_cpu_to_be_16((uint16_t)(packet_ip_len(m, packet_of(m)) - sizeof(*h)));
	h->vtc_flow = (h->vtc_flow & ~RTE_BE32(3U << 20)) | rte_cpu_to_be_32((uint32_t)ecn << 20);
}

// Headers of fragments behind the first are as long as its own or have their own IHL. What follows the packet
// from here on is what follows the first one.
static bool chain(struct lcore *lc, struct entry *e, struct rte_mbuf *first)
{
	while (e->head != NULL) {
		struct rte_mbuf *m = pop(lc->frags, e);
		uint32_t len = (uint32_t)packet_of(m)->counter;

		rte_pktmbuf_adj(m, (uint16_t)(m->pkt_len - len));
		if (rte_pktmbuf_chain(first, m) != 0) {
			stage_drop(lc, m, ST_DROP_frag_tiny);
			return false;
		}
		if (unlikely(packet_of(m)->flags & PACKET_F_TRACED))
			trace_end(lc, m, -1);
	}
	return true;
}

static void complete(struct lcore *lc, struct entry *e)
{
	struct reassembly *r = lc->frags;
	struct rte_mbuf *first = pop(r, e);
	struct packet *p = packet_of(first);
	uint8_t ecn = merged_ecn(e->ecn_seen);
	bool ok = chain(lc, e, first);

	drop_fragments(lc, e, ST_DROP_frag_tiny); // too many segments for one mbuf chain
	del(r, e);
	if (!ok) {
		stage_drop(lc, first, ST_DROP_frag_tiny);
		return;
	}
	p->flags = (p->flags & ~(PACKET_F_FRAGMENT | PACKET_F_BY_HANDOFF)) | PACKET_F_REASSEMBLED;
	first->ol_flags &= ~RTE_MBUF_F_RX_L4_CKSUM_MASK; // the device saw fragments only
	if (packet_is_ipv6(p))
		fix_ipv6(first, ecn);
	else
		fix_ipv4(first, ecn);
	stage_push(lc, ST_STAGE_classify, first);
}

static void poison(struct lcore *lc, struct entry *e, enum st_drop why)
{
	drop_fragments(lc, e, why);
	e->poisoned = true;
}

static void take(struct lcore *lc, struct rte_mbuf *m, const struct fragment *f)
{
	struct reassembly *r = lc->frags;
	struct entry *e = find(r, &f->key);

	if (f->off + f->len > UINT16_MAX - sizeof(struct rte_ipv4_hdr)) {
		stage_drop(lc, m, ST_DROP_frag_overlap);
		return;
	}
	if (e == NULL && r->mbufs < REASSEMBLY_MBUFS)
		e = add(r, &f->key, lc->now + REASSEMBLY_SECONDS * lc->hz);
	if (e == NULL || (!e->poisoned && r->mbufs >= REASSEMBLY_MBUFS)) {
		stage_drop(lc, m, ST_DROP_frag_table_full);
		return;
	}
	if (e->poisoned) {
		stage_drop(lc, m, ST_DROP_frag_overlap);
		return;
	}
	if (e->fragments == REASSEMBLY_FRAGMENTS) {
		poison(lc, e, ST_DROP_frag_tiny);
		stage_drop(lc, m, ST_DROP_frag_tiny);
		return;
	}
	switch (insert(e, m, f)) {
	case INSERT_DUPLICATE:
		stage_drop(lc, m, ST_DROP_frag_overlap);
		return;
	case INSERT_OVERLAP: // RFC 5722: nothing of such a packet may be used
		poison(lc, e, ST_DROP_frag_overlap);
		stage_drop(lc, m, ST_DROP_frag_overlap);
		return;
	case INSERT_OK:
		r->mbufs++;
		e->ecn_seen |= (uint8_t)(1U << packet_ecn(m));
	}
	if (e->total != 0 && e->have == e->total)
		complete(lc, e);
}

// All lcores agree on this one, whatever queue the fragments came in on.
static uint16_t lcore_of(const struct key *k)
{
	return (uint16_t)((uint64_t)rte_hash_crc(k, sizeof(*k), 0) * lcores.nb >> 32);
}

void reassemble_run(struct lcore *lc, struct vec *in)
{
	for (uint32_t i = 0; i < in->n; i++) {
		struct rte_mbuf *m = in->m[i];
		struct fragment f;
		uint16_t at;

		parse(m, &f);
		if (!(packet_of(m)->flags & PACKET_F_BY_HANDOFF) && !is_ours(m, &f)) {
			stage_push(lc, ST_STAGE_classify, m);
			continue;
		}
		at = lcore_of(&f.key);
		if (at != lc->id)
			lcore_handoff(lc, at, m, ST_STAGE_reassemble);
		else if (is_tiny(&f))
			stage_drop(lc, m, ST_DROP_frag_tiny);
		else
			take(lc, m, &f);
	}
}
