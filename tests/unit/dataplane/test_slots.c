// SPDX-License-Identifier: BSD-3-Clause
//
// The keypair slots of a peer (paper section 6.3): which of previous, current and next a new session goes
// to, what it displaces, and when a responder's next becomes current.
#include "rig.h"

#define A 0x100
#define B 0x200
#define C 0x300

static uint32_t in_slot(unsigned int slot)
{
	const struct keypair *kp = atomic_load(&rig.peer->slots[slot]);

	return kp == NULL ? 0 : kp->index;
}

static void expect(uint32_t previous, uint32_t current, uint32_t next)
{
	CU_ASSERT_EQUAL(in_slot(ST_SLOT_PREVIOUS), previous);
	CU_ASSERT_EQUAL(in_slot(ST_SLOT_CURRENT), current);
	CU_ASSERT_EQUAL(in_slot(ST_SLOT_NEXT), next);
}

static void install(uint32_t index, uint32_t role)
{
	rig_key(index, role);
	rig_passes(2);
	rig_reset();
}

static void receive(uint32_t index, uint64_t counter)
{
	struct rte_mbuf *m = rig_seal(NULL, index, counter, false);

	rig_ether(m, RIG_WAN);
	rig_rx(1, RIG_WAN, m);
	rig_passes(3);
}

static void end(void)
{
	rig_gone();
	rig_reset();
	CU_ASSERT(rig_pool_full());
}

static void an_initiators_session_is_current_at_once(void)
{
	rig_peer(false);
	install(A, ST_KEY_INITIATOR);
	expect(0, A, 0);
	install(B, ST_KEY_INITIATOR);
	expect(A, B, 0);
	install(C, ST_KEY_INITIATOR);
	expect(B, C, 0);
	end();
}

static void a_responders_session_waits_in_next(void)
{
	rig_peer(false);
	install(A, ST_KEY_INITIATOR);
	install(B, ST_KEY_RESPONDER);
	expect(0, A, B);
	// Data under the old key proves nothing about the new one.
	receive(A, 0);
	expect(0, A, B);
	receive(B, 0);
	expect(A, B, 0);
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	end();
}

static void a_responders_session_drops_previous_and_an_older_next(void)
{
	rig_peer(false);
	install(A, ST_KEY_INITIATOR);
	install(B, ST_KEY_INITIATOR);
	expect(A, B, 0);
	install(C, ST_KEY_RESPONDER);
	expect(0, B, C);
	install(A + 1, ST_KEY_RESPONDER);
	expect(0, B, A + 1);
	receive(C, 0);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_wg_no_session), 1);
	expect(0, B, A + 1);
	end();
}

// Both sides began at once: what waits in next is what the peer may send under already.
static void an_initiators_session_saves_next_and_drops_current(void)
{
	rig_peer(false);
	install(A, ST_KEY_INITIATOR);
	install(B, ST_KEY_RESPONDER);
	expect(0, A, B);
	install(C, ST_KEY_INITIATOR);
	expect(B, C, 0);
	receive(A, 0);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_wg_no_session), 1);
	receive(B, 0);
	CU_ASSERT_EQUAL(rig_drops_all(), 1);
	expect(B, C, 0); // no promotion out of previous
	end();
}

static void packets_under_all_three_are_taken(void)
{
	rig_peer(false);
	install(A, ST_KEY_INITIATOR);
	install(B, ST_KEY_INITIATOR);
	receive(A, 0);
	receive(B, 0);
	receive(A, 1);
	CU_ASSERT_EQUAL(rig_drops_all(), 0);
	receive(A, 1);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_wg_replay), 1);
	end();
}

static void a_forged_packet_confirms_nothing(void)
{
	struct rte_mbuf *m;

	rig_peer(false);
	install(A, ST_KEY_INITIATOR);
	install(B, ST_KEY_RESPONDER);
	m = rig_seal(NULL, B, 0, false);
	rte_pktmbuf_mtod(m, uint8_t *)[m->pkt_len - 1] ^= 1;
	rig_fix_udp4(m, 0);
	rig_ether(m, RIG_WAN);
	rig_rx(1, RIG_WAN, m);
	rig_passes(3);
	CU_ASSERT_EQUAL(rig_drops(ST_DROP_wg_bad_tag), 1);
	expect(0, A, B);
	end();
}

int main(void)
{
	static const struct rig_test tests[] = {
		{"an initiator's session is current at once",
			an_initiators_session_is_current_at_once},
		{"a responder's session waits in next", a_responders_session_waits_in_next},
		{"a responder's session drops previous and an older next",
			a_responders_session_drops_previous_and_an_older_next},
		{"an initiator's session saves next and drops current",
			an_initiators_session_saves_next_and_drops_current},
		{"packets under all three are taken", packets_under_all_three_are_taken},
		{"a forged packet confirms nothing", a_forged_packet_confirms_nothing},
	};

	return rig_main("slots", tests, RTE_DIM(tests));
}
