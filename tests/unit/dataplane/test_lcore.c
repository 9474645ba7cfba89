// SPDX-License-Identifier: BSD-3-Clause
//
// Two real lcores: one session whose packets alternate over both of them, duplicates included, and a
// peer that moves to the lcore its packets come in on.
#include "command.h"
#include "crypto/aead.h"
#include "reclaim.h"
#include "rig.h"
#include "stages/header.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define PACKETS   1000000
#define IN_FLIGHT 384 // below every ring on the way
#define INNER     40

static uint8_t *seen;
static uint64_t delivered, strange;
static struct rte_mbuf *template[2];
static const struct aead_backend *aead;
static void *ctx;

// lcore 0 polls the device of the WAN's tap as if it were another queue of the WAN.
static const uint16_t device_of[2] = {RIG_DEV_WAN_TAP, RIG_DEV_WAN};

static struct lcore_plan receive_plan[2];
static const struct lcore_plan *rig_plan[2];

static void plan_receive(void)
{
	for (uint16_t i = 0; i < 2; i++) {
		struct lcore_plan *plan = &receive_plan[i];

		rig_plan[i] = atomic_load(&lcores.lc[i]->plan);
		*plan = *rig_plan[i];
		plan->nb_rx = 1;
		plan->rx[0] = (struct lcore_rxq){.if_id = RIG_WAN, .eth_port = device_of[i]};
		atomic_store(&lcores.lc[i]->plan, plan);
	}
}

// The lcores have ended; the rig frees what it made itself.
static void plan_restore(void)
{
	for (uint16_t i = 0; i < 2; i++)
		atomic_store(&lcores.lc[i]->plan, rig_plan[i]);
}

static void poll_main(void)
{
	struct rte_mbuf *m[32];
	unsigned int n = rig_take(RIG_DEV_LAN, m, 32);

	for (unsigned int i = 0; i < n; i++) {
		uint64_t counter;

		memcpy(&counter, rte_pktmbuf_mtod_offset(m[i], uint8_t *, 14 + 28), 8);
		if (m[i]->pkt_len == 14 + INNER && counter < PACKETS) {
			seen[counter]++;
			delivered++;
		} else {
			strange++;
		}
	}
	rte_pktmbuf_free_bulk(m, n);
	command_poll();
	reclaim_poll();
}

static uint64_t replays(void)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < 2; i++)
		sum += __atomic_load_n(&lcores.lc[i]->drops[ST_DROP_wg_replay], __ATOMIC_RELAXED);
	return sum;
}

// A datagram of the peer from one of two ports, with the counter in the inner payload as well.
static struct rte_mbuf *make(uint64_t counter)
{
	struct rte_mbuf *m = rte_pktmbuf_copy(template[counter & 1], rig.pool, 0, UINT32_MAX);
	uint8_t *d = rte_pktmbuf_mtod_offset(m, uint8_t *, 14 + 28);
	struct aead_seg seg = {.data = d + 16, .len = RTE_ALIGN_CEIL(INNER, 16)};
	struct aead_op op = {.key = rig.from_peer,
		.nonce = counter,
		.nb_segs = 1,
		.segs = &seg,
		.tag = d + 16 + seg.len};

	memcpy(d + 8, &counter, 8);
	memcpy(d + 16 + 28, &counter, 8);
	aead->seal(ctx, &op, 1);
	return m;
}

static void make_templates(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct rte_mbuf *inner = rig_udp4(RIG_FAR_HOST, RIG_LAN_HOST, 1000, 2000, INNER);
		uint8_t plain[48] = {0};
		struct rte_udp_hdr *udp;

		memcpy(plain, rte_pktmbuf_mtod(inner, void *), INNER);
		template[i] = rig_seal(inner, RIG_INDEX, 0, false);
		memcpy(rte_pktmbuf_mtod_offset(template[i], uint8_t *, 44), plain, 48);
		udp = rte_pktmbuf_mtod_offset(template[i], struct rte_udp_hdr *, 20);
		udp->src_port = htons((uint16_t)(RIG_PEER_PORT + i));
		udp->dgram_cksum = 0; // the sender made none
		rig_ether(template[i], RIG_WAN);
	}
}

static void put(unsigned int lcore, struct rte_mbuf *m)
{
	uint64_t give_up = rte_rdtsc() + 20 * rte_get_tsc_hz();

	while (rte_eth_tx_burst(device_of[lcore], 0, &m, 1) != 1) {
		poll_main();
		CU_ASSERT_FATAL(rte_rdtsc() < give_up);
	}
}

// Waits until at most `open` packets are neither delivered nor dropped as replays.
static bool settle(uint64_t sent, uint64_t replayed_before, uint64_t open)
{
	uint64_t give_up = rte_rdtsc() + 20 * rte_get_tsc_hz();

	while (delivered + replays() - replayed_before + open < sent) {
		poll_main();
		if (rte_rdtsc() > give_up)
			return false;
	}
	return true;
}

static void begin(void)
{
	make_templates();
	rig_peer(false);
	rig_key(RIG_INDEX, ST_KEY_RESPONDER);
	rig_passes(2);
	rig_reset();
	memset(seen, 0, PACKETS);
	delivered = strange = 0;
	plan_receive();
	lcores.adaptive = 1; // three threads on two CPUs: who has nothing to do makes room
	atomic_store(&lcores.stop, 0);
	CU_ASSERT_EQUAL_FATAL(lcores_launch(), 0);
}

static void report_drops(void)
{
	for (unsigned int i = 0; i < ST_DROP_COUNT; i++)
		if (i != ST_DROP_wg_replay && rig_drops(i) != 0)
			fprintf(stderr, "drop %u: %lu\n", i, rig_drops(i));
}

static void each_counter_is_delivered_exactly_once(void)
{
	uint64_t before = replays(), sent = 0, duplicates = 0, wrong = 0;

	begin();
	for (uint64_t c = 0; c < PACKETS; c++) {
		put(c & 1, make(c));
		sent++;
		if (c % 5 == 0) { // the same again, by the other lcore
			put(!(c & 1), make(c));
			sent++;
			duplicates++;
		}
		if (c % 32 == 0)
			CU_ASSERT_FATAL(settle(sent, before, IN_FLIGHT));
	}
	CU_ASSERT(settle(sent, before, 0));
	for (uint64_t c = 0; c < PACKETS; c++)
		wrong += seen[c] != 1;
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(strange, 0);
	CU_ASSERT_EQUAL(delivered, PACKETS);
	CU_ASSERT_EQUAL(replays() - before, duplicates);
	CU_ASSERT_EQUAL(rig_drops_all() - rig_drops(ST_DROP_wg_replay), 0);
	report_drops();
	CU_ASSERT(lcores.lc[1]->handoff_in > 0 && lcores.lc[0]->handoff_out > 0);
	lcores_stop();
	plan_restore();
}

static void a_peer_moves_to_where_its_packets_come_in(void)
{
	uint64_t before = replays(), sent = 0, wrong = 0;

	begin();
	CU_ASSERT_EQUAL(atomic_load(&rig.peer->owner), RIG_PEER % 2);
	for (unsigned int round = 0; round < 6; round++) {
		unsigned int lcore = round & 1;

		for (unsigned int i = 0; i < 5000; i++, sent++) {
			put(lcore, make(sent));
			if (i % 32 == 0)
				CU_ASSERT_FATAL(settle(sent, before, IN_FLIGHT));
		}
		CU_ASSERT(settle(sent, before, 0));
		CU_ASSERT_EQUAL(atomic_load(&rig.peer->owner), lcore);
	}
	for (uint64_t c = 0; c < sent; c++)
		wrong += seen[c] != 1;
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	report_drops();
	rig_key(RIG_INDEX + 1, ST_KEY_INITIATOR); // finds the owner, wherever it is
	while (command_token() != 0 && !command_passed(command_token()))
		poll_main();
	CU_ASSERT_EQUAL(atomic_load(&rig.peer->slots[ST_SLOT_CURRENT])->index, RIG_INDEX + 1);
	lcores_stop();
	plan_restore();
}

int main(int argc, char **argv)
{
	// Each needs lcores that have not run yet.
	static const struct rig_test tests[2][1] = {
		{{"each counter is delivered exactly once", each_counter_is_delivered_exactly_once}},
		{{"a peer moves to where its packets come in",
			a_peer_moves_to_where_its_packets_come_in}},
	};
	unsigned int which = argc > 1 ? (unsigned int)atoi(argv[1]) & 1 : 0;

	seen = calloc(PACKETS, 1);
	aead = aead_backend_find(NULL);
	if (seen == NULL || aead == NULL || (ctx = aead->ctx_new()) == NULL)
		return 2;
	return rig_main("lcore", tests[which], 1);
}
