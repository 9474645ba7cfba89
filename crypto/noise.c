// SPDX-License-Identifier: BSD-3-Clause
//
// The Noise handshake of WireGuard (paper section 5.4, the Noise specification's IKpsk2). Pure
// functions over the caller's structs, run on straitd's crypto workers: no clock, no sockets, no
// globals. Each function works on a copy and hands it over only when everything has verified.
#include "noise.h"

#include <sodium.h>

#include <endian.h>
#include <string.h>

static const char construction[] = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
static const char identifier[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";

// What every step works on: the transcript so far and the key of the next AEAD.
struct transcript {
	uint8_t hash[NOISE_HASH_LEN];
	uint8_t chaining_key[NOISE_HASH_LEN];
	uint8_t key[NOISE_KEY_LEN];
};

static void le32_write(uint8_t out[4], uint32_t v)
{
	v = htole32(v);
	memcpy(out, &v, sizeof(v));
}

static uint32_t le32_read(const uint8_t in[4])
{
	uint32_t v;

	memcpy(&v, in, sizeof(v));
	return le32toh(v);
}

// ---- X25519 -----------------------------------------------------------------------------------

// False for a low-order point: the shared secret would be zero whatever our key is (RFC 7748
// section 6.1).
static bool dh(uint8_t out[NOISE_KEY_LEN], const uint8_t private_key[NOISE_KEY_LEN],
	const uint8_t public_key[NOISE_KEY_LEN])
{
	if (crypto_scalarmult_curve25519(out, private_key, public_key) == 0 &&
		!sodium_is_zero(out, NOISE_KEY_LEN))
		return true;
	sodium_memzero(out, NOISE_KEY_LEN);
	return false;
}

static void clamp(uint8_t key[NOISE_KEY_LEN])
{
	key[0] &= 248;
	key[31] = (key[31] & 127) | 64;
}

// ---- the transcript ---------------------------------------------------------------------------

static void mix_hash(struct transcript *t, const void *data, size_t len)
{
	blake2s_hash(t->hash, t->hash, sizeof(t->hash), data, len);
}

static void mix_public(struct transcript *t, const uint8_t public_key[NOISE_KEY_LEN])
{
	noise_kdf(t->chaining_key, NULL, NULL, t->chaining_key, public_key, NOISE_KEY_LEN);
	mix_hash(t, public_key, NOISE_KEY_LEN);
}

static void mix_secret(struct transcript *t, const uint8_t secret[NOISE_KEY_LEN])
{
	noise_kdf(t->chaining_key, t->key, NULL, t->chaining_key, secret, NOISE_KEY_LEN);
}

static bool mix_dh(struct transcript *t, const uint8_t private_key[NOISE_KEY_LEN],
	const uint8_t public_key[NOISE_KEY_LEN])
{
	uint8_t secret[NOISE_KEY_LEN];

	if (!dh(secret, private_key, public_key))
		return false;
	mix_secret(t, secret);
	sodium_memzero(secret, sizeof(secret));
	return true;
}

static void mix_psk(struct transcript *t, const uint8_t psk[NOISE_KEY_LEN])
{
	uint8_t tau[NOISE_HASH_LEN];

	noise_kdf(t->chaining_key, tau, t->key, t->chaining_key, psk, NOISE_KEY_LEN);
	mix_hash(t, tau, sizeof(tau));
	sodium_memzero(tau, sizeof(tau));
}

// AEAD with the transcript as additional data; the counter is always 0, as each key is used once.
static void encrypt(struct transcript *t, uint8_t *out, const uint8_t *in, size_t len)
{
	static const uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

	crypto_aead_chacha20poly1305_ietf_encrypt(
		out, NULL, in, len, t->hash, sizeof(t->hash), NULL, nonce, t->key);
	mix_hash(t, out, len + AEAD_TAG_LEN);
}

static bool decrypt(struct transcript *t, uint8_t *out, const uint8_t *in, size_t in_len)
{
	static const uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

	if (crypto_aead_chacha20poly1305_ietf_decrypt(
		    out, NULL, NULL, in, in_len, t->hash, sizeof(t->hash), nonce, t->key) != 0)
		return false;
	mix_hash(t, in, in_len);
	return true;
}

static void transcript_init(struct transcript *t, const uint8_t responder_public[NOISE_KEY_LEN])
{
	blake2s_hash(t->chaining_key, construction, sizeof(construction) - 1, NULL, 0);
	blake2s_hash(t->hash, t->chaining_key, sizeof(t->chaining_key), identifier,
		sizeof(identifier) - 1);
	mix_hash(t, responder_public, NOISE_KEY_LEN);
	memset(t->key, 0, sizeof(t->key));
}

static void transcript_load(struct transcript *t, const struct noise_handshake *hs)
{
	memcpy(t->hash, hs->hash, sizeof(t->hash));
	memcpy(t->chaining_key, hs->chaining_key, sizeof(t->chaining_key));
	memset(t->key, 0, sizeof(t->key));
}

static void transcript_store(struct noise_handshake *hs, const struct transcript *t)
{
	memcpy(hs->hash, t->hash, sizeof(hs->hash));
	memcpy(hs->chaining_key, t->chaining_key, sizeof(hs->chaining_key));
}

// ---- identities and peers ---------------------------------------------------------------------

void noise_identity_init(struct noise_identity *id, const uint8_t private_key[NOISE_KEY_LEN])
{
	uint8_t key[NOISE_KEY_LEN];

	memcpy(key, private_key, sizeof(key)); // private_key may be the identity's own
	noise_identity_fini(id);
	if (!sodium_is_zero(key, sizeof(key))) {
		clamp(key);
		memcpy(id->private_key, key, sizeof(key));
		crypto_scalarmult_curve25519_base(id->public_key, key);
		id->has_key = true;
	}
	sodium_memzero(key, sizeof(key));
}

void noise_identity_fini(struct noise_identity *id)
{
	sodium_memzero(id, sizeof(*id));
}

bool noise_peer_init(struct noise_peer *p, const struct noise_identity *id,
	const uint8_t public_key[NOISE_KEY_LEN], const uint8_t *preshared_key)
{
	static const uint8_t none[NOISE_KEY_LEN];

	memmove(p->public_key, public_key, NOISE_KEY_LEN);
	memmove(p->preshared_key, preshared_key != NULL ? preshared_key : none, NOISE_KEY_LEN);
	sodium_memzero(p->static_static, sizeof(p->static_static));
	// Without a private key nothing can be said about the peer's: the next call will.
	if (!id->has_key)
		return true;
	return dh(p->static_static, id->private_key, p->public_key);
}

void noise_handshake_zero(struct noise_handshake *hs)
{
	sodium_memzero(hs, sizeof(*hs));
}

// ---- the messages -----------------------------------------------------------------------------

static void ephemeral_choose(
	uint8_t private_key[NOISE_KEY_LEN], uint8_t public_key[NOISE_KEY_LEN], const uint8_t *given)
{
	if (given != NULL)
		memcpy(private_key, given, NOISE_KEY_LEN);
	else
		randombytes_buf(private_key, NOISE_KEY_LEN);
	clamp(private_key);
	crypto_scalarmult_curve25519_base(public_key, private_key);
}

bool noise_create_initiation(struct noise_handshake *hs, struct message_initiation *ret_msg,
	const struct noise_identity *id, const struct noise_peer *peer, uint32_t local_index,
	const uint8_t timestamp[TAI64N_LEN], const uint8_t *ephemeral)
{
	struct noise_handshake next = {
		.state = NOISE_CREATED_INITIATION,
		.local_index = local_index,
	};
	struct message_initiation msg = {0};
	struct transcript t;
	bool ok = false;

	if (!id->has_key || sodium_is_zero(peer->static_static, sizeof(peer->static_static)))
		return false;
	le32_write(msg.type, MESSAGE_INITIATION);
	le32_write(msg.sender, local_index);
	ephemeral_choose(next.ephemeral_private, msg.ephemeral, ephemeral);

	transcript_init(&t, peer->public_key);
	mix_public(&t, msg.ephemeral);
	if (!mix_dh(&t, next.ephemeral_private, peer->public_key))
		goto out;
	encrypt(&t, msg.encrypted_static, id->public_key, NOISE_KEY_LEN);
	mix_secret(&t, peer->static_static);
	encrypt(&t, msg.encrypted_timestamp, timestamp, TAI64N_LEN);
	transcript_store(&next, &t);
	*hs = next;
	*ret_msg = msg;
	ok = true;
out:
	sodium_memzero(&next, sizeof(next));
	sodium_memzero(&t, sizeof(t));
	return ok;
}

bool noise_consume_initiation_static(struct noise_handshake *ret_hs,
	uint8_t ret_public_key[NOISE_KEY_LEN], const struct noise_identity *id,
	const struct message_initiation *msg)
{
	struct noise_handshake next = {.state = NOISE_ZEROED};
	uint8_t public_key[NOISE_KEY_LEN];
	struct transcript t;
	bool ok = false;

	if (!id->has_key || le32_read(msg->type) != MESSAGE_INITIATION)
		return false;
	transcript_init(&t, id->public_key);
	mix_public(&t, msg->ephemeral);
	if (!mix_dh(&t, id->private_key, msg->ephemeral))
		goto out;
	if (!decrypt(&t, public_key, msg->encrypted_static, sizeof(msg->encrypted_static)))
		goto out;
	next.remote_index = le32_read(msg->sender);
	memcpy(next.remote_ephemeral, msg->ephemeral, NOISE_KEY_LEN);
	transcript_store(&next, &t);
	*ret_hs = next;
	memcpy(ret_public_key, public_key, NOISE_KEY_LEN);
	ok = true;
out:
	sodium_memzero(&next, sizeof(next));
	sodium_memzero(&t, sizeof(t));
	sodium_memzero(public_key, sizeof(public_key));
	return ok;
}

bool noise_consume_initiation_timestamp(struct noise_handshake *hs, uint8_t ret_timestamp[TAI64N_LEN],
	const struct noise_peer *peer, const struct message_initiation *msg)
{
	uint8_t timestamp[TAI64N_LEN];
	struct transcript t;
	bool ok = false;

	if (sodium_is_zero(peer->static_static, sizeof(peer->static_static)))
		return false;
	transcript_load(&t, hs);
	mix_secret(&t, peer->static_static);
	if (!decrypt(&t, timestamp, msg->encrypted_timestamp, sizeof(msg->encrypted_timestamp)))
		goto out;
	transcript_store(hs, &t);
	hs->state = NOISE_CONSUMED_INITIATION;
	memcpy(ret_timestamp, timestamp, sizeof(timestamp));
	ok = true;
out:
	sodium_memzero(&t, sizeof(t));
	return ok;
}

bool noise_create_response(struct noise_handshake *hs, struct message_response *ret_msg,
	const struct noise_peer *peer, uint32_t local_index, const uint8_t *ephemeral)
{
	struct noise_handshake next = *hs;
	struct message_response msg = {0};
	struct transcript t;
	bool ok = false;

	if (hs->state != NOISE_CONSUMED_INITIATION)
		goto out;
	next.state = NOISE_CREATED_RESPONSE;
	next.local_index = local_index;
	le32_write(msg.type, MESSAGE_RESPONSE);
	le32_write(msg.sender, local_index);
	le32_write(msg.receiver, hs->remote_index);
	ephemeral_choose(next.ephemeral_private, msg.ephemeral, ephemeral);

	transcript_load(&t, hs);
	mix_public(&t, msg.ephemeral);
	if (!mix_dh(&t, next.ephemeral_private, hs->remote_ephemeral))
		goto out_transcript;
	if (!mix_dh(&t, next.ephemeral_private, peer->public_key))
		goto out_transcript;
	mix_psk(&t, peer->preshared_key);
	encrypt(&t, msg.encrypted_nothing, NULL, 0);
	transcript_store(&next, &t);
	*hs = next;
	*ret_msg = msg;
	ok = true;
out_transcript:
	sodium_memzero(&t, sizeof(t));
out:
	sodium_memzero(&next, sizeof(next));
	return ok;
}

bool noise_consume_response(struct noise_handshake *hs, const struct noise_identity *id,
	const struct noise_peer *peer, const struct message_response *msg)
{
	struct transcript t;
	bool ok = false;

	if (hs->state != NOISE_CREATED_INITIATION || !id->has_key ||
		le32_read(msg->type) != MESSAGE_RESPONSE ||
		le32_read(msg->receiver) != hs->local_index)
		return false;
	transcript_load(&t, hs);
	mix_public(&t, msg->ephemeral);
	if (!mix_dh(&t, hs->ephemeral_private, msg->ephemeral))
		goto out;
	if (!mix_dh(&t, id->private_key, msg->ephemeral))
		goto out;
	mix_psk(&t, peer->preshared_key);
	if (!decrypt(&t, NULL, msg->encrypted_nothing, sizeof(msg->encrypted_nothing)))
		goto out;
	transcript_store(hs, &t);
	hs->state = NOISE_CONSUMED_RESPONSE;
	hs->remote_index = le32_read(msg->sender);
	memcpy(hs->remote_ephemeral, msg->ephemeral, NOISE_KEY_LEN);
	ok = true;
out:
	sodium_memzero(&t, sizeof(t));
	return ok;
}

bool noise_derive(struct noise_handshake *hs, struct noise_keys *ret_keys, bool *ret_initiator)
{
	bool initiator = hs->state == NOISE_CONSUMED_RESPONSE;

	if (!initiator && hs->state != NOISE_CREATED_RESPONSE)
		return false;
	if (initiator)
		noise_kdf(ret_keys->send, ret_keys->recv, NULL, hs->chaining_key, NULL, 0);
	else
		noise_kdf(ret_keys->recv, ret_keys->send, NULL, hs->chaining_key, NULL, 0);
	*ret_initiator = initiator;
	noise_handshake_zero(hs);
	return true;
}
