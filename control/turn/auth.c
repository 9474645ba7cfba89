// SPDX-License-Identifier: BSD-3-Clause
//
// Long-term credentials; see auth.h. Main loop thread.
#include "auth.h"

#include "../stun/stun_digest.h"

#include <sodium.h>

#include <string.h>

#define EXPIRY_DIGITS_MAX 18

static const uint8_t offered[] = {
	0,
	TURN_ALGORITHM_SHA256,
	0,
	0, // strongest first
	0,
	TURN_ALGORITHM_MD5,
	0,
	0,
};

static guint hash_hash(gconstpointer p)
{
	guint h;

	memcpy(&h, p, sizeof(h));
	return h;
}

static gboolean hash_equal(gconstpointer a, gconstpointer b)
{
	return stun_equal(a, b, STUN_SHA256_LEN);
}

void turn_auth_init(struct turn_auth *a, const uint8_t master[TURN_NONCE_KEY])
{
	memset(a, 0, sizeof(*a));
	memcpy(a->master, master, sizeof(a->master));
	a->by_name = g_hash_table_new(g_str_hash, g_str_equal);
	a->by_hash = g_hash_table_new_full(hash_hash, hash_equal, g_free, NULL);
	a->nonce_life_s = TURN_NONCE_LIFE_S;
}

void turn_auth_fini(struct turn_auth *a)
{
	g_hash_table_destroy(a->by_name);
	g_hash_table_destroy(a->by_hash);
	sodium_memzero(a, sizeof(*a));
	turn_nonce_forget();
}

void turn_auth_apply(struct turn_auth *a, const struct turn_config *c)
{
	a->config = c;
	g_hash_table_remove_all(a->by_name);
	g_hash_table_remove_all(a->by_hash);
	for (guint i = 0; c && i < c->users->len; i++) {
		struct turn_config_user *u = c->users->pdata[i];
		uint8_t *hash = g_malloc(STUN_SHA256_LEN);

		stun_sha256_colon(
			hash, u->name, strlen(u->name), c->realm, strlen(c->realm), NULL, SIZE_MAX);
		g_hash_table_insert(a->by_name, u->name, u);
		g_hash_table_insert(a->by_hash, hash, u);
	}
}

// ---- time-limited credentials ----------------------------------------------------------------------

bool turn_auth_expiry(const char *name, size_t len, int64_t *ret_s)
{
	size_t digits = 0;
	int64_t value = 0;

	while (digits < len && g_ascii_isdigit(name[digits])) {
		if (digits == EXPIRY_DIGITS_MAX)
			return false;
		value = value * 10 + (name[digits++] - '0');
	}
	if (!digits || (digits < len && name[digits] != ':'))
		return false;
	*ret_s = value;
	return true;
}

void turn_auth_password(
	char out[TURN_PASSWORD_LEN + 1], const char *secret, const char *username, size_t len)
{
	uint8_t mac[STUN_SHA1_LEN];

	stun_hmac(false, mac, (const uint8_t *)secret, strlen(secret), username, len, NULL, 0);
	sodium_bin2base64(
		out, TURN_PASSWORD_LEN + 1, mac, sizeof(mac), sodium_base64_VARIANT_ORIGINAL);
	sodium_memzero(mac, sizeof(mac));
}

const char *turn_auth_quota_name(const struct turn_identity *id)
{
	const char *colon;

	if (!id->expires_s)
		return id->name;
	colon = strchr(id->name, ':');
	return colon && colon[1] ? colon + 1 : NULL;
}

// ---- the checks ------------------------------------------------------------------------------------

static void make_key(const struct turn_auth *a, struct turn_identity *id, const char *password)
{
	const char *realm = a->config->realm;

	if (id->algorithm == TURN_ALGORITHM_SHA256) {
		id->key_len = STUN_SHA256_LEN;
		stun_sha256_colon(id->key, id->name, id->name_len, realm, strlen(realm), password,
			strlen(password));
	} else {
		id->key_len = STUN_MD5_LEN;
		stun_md5_colon(id->key, id->name, id->name_len, realm, strlen(realm), password,
			strlen(password));
	}
}

// RFC 8489 section 9.2.4: either neither attribute, which is MD5, or both, the list as it was offered.
static bool choose_algorithm(const struct turn_auth *a, const struct stun_msg *m, uint8_t *ret)
{
	struct stun_attr one = stun_attr(m, STUN_ATTR_PASSWORD_ALGORITHM);
	struct stun_attr all = stun_attr(m, STUN_ATTR_PASSWORD_ALGORITHMS);
	struct stun_attr nonce = stun_attr(m, STUN_ATTR_NONCE);

	*ret = TURN_ALGORITHM_MD5;
	if (!(turn_nonce_features(nonce.at, nonce.len) & TURN_FEATURE_PASSWORD_ALGORITHMS))
		return true; // nothing was offered, so nothing was chosen
	if (!one.at && !all.at)
		return true;
	if (!one.at || !all.at || all.len != sizeof(offered) || memcmp(all.at, offered, all.len))
		return false;
	if (one.len != 4 || one.at[0] || one.at[2] || one.at[3] ||
		(one.at[1] != TURN_ALGORITHM_MD5 && one.at[1] != TURN_ALGORITHM_SHA256))
		return false;
	*ret = one.at[1];
	return true;
}

static bool take_name(const struct turn_auth *a, const struct stun_msg *m, struct turn_identity *id,
	const struct turn_config_user **ret_user)
{
	struct stun_attr name = stun_attr(m, STUN_ATTR_USERNAME);
	struct stun_attr hash = stun_attr(m, STUN_ATTR_USERHASH);

	*ret_user = NULL;
	if (name.at) {
		if (!name.len || name.len > STUN_USERNAME_MAX || memchr(name.at, 0, name.len) ||
			!g_utf8_validate((const char *)name.at, name.len, NULL))
			return false;
		memcpy(id->name, name.at, name.len);
		id->name_len = name.len;
		*ret_user = g_hash_table_lookup(a->by_name, id->name);
		return true;
	}
	if (hash.len == STUN_SHA256_LEN)
		*ret_user = g_hash_table_lookup(a->by_hash, hash.at);
	if (!*ret_user)
		return false;
	id->name_len = (uint16_t)g_strlcpy(id->name, (*ret_user)->name, sizeof(id->name));
	return true;
}

static bool verify_secrets(const struct turn_auth *a, const struct stun_msg *m, uint16_t integrity,
	struct turn_identity *id)
{
	char password[TURN_PASSWORD_LEN + 1];
	bool good = false;

	for (guint i = 0; i < a->config->secrets->len && !good; i++) {
		turn_auth_password(password, a->config->secrets->pdata[i], id->name, id->name_len);
		make_key(a, id, password);
		good = stun_verify_by(m, integrity, id->key, id->key_len);
	}
	sodium_memzero(password, sizeof(password));
	return good;
}

static bool verify(const struct turn_auth *a, const struct stun_msg *m, uint16_t integrity,
	const struct turn_identity *known, int64_t wall_s, struct turn_identity *id)
{
	const struct turn_config_user *user;
	bool timed;

	if (!take_name(a, m, id, &user))
		return false;
	timed = !user && turn_auth_expiry(id->name, id->name_len, &id->expires_s);
	if (timed && id->expires_s < wall_s && (a->config->strict_expiry || !known))
		return false;
	if (known && known->name_len == id->name_len &&
		!memcmp(known->name, id->name, id->name_len) && known->algorithm == id->algorithm) {
		memcpy(id->key, known->key, sizeof(id->key));
		id->key_len = known->key_len;
		if (stun_verify_by(m, integrity, id->key, id->key_len))
			return true;
	}
	if (timed)
		return id->expires_s >= wall_s && verify_secrets(a, m, integrity, id);
	if (!user)
		return false;
	make_key(a, id, user->password);
	return stun_verify_by(m, integrity, id->key, id->key_len);
}

static bool realm_is_ours(const struct turn_auth *a, const struct stun_msg *m)
{
	struct stun_attr realm = stun_attr(m, STUN_ATTR_REALM);

	return realm.len == strlen(a->config->realm) &&
	       !memcmp(realm.at, a->config->realm, realm.len);
}

void turn_auth_check(const struct turn_auth *a, const struct stun_msg *m,
	const struct turn_nonce_source *source, const struct turn_identity *known, uint32_t now_s,
	int64_t wall_s, struct turn_auth_result *ret)
{
	struct stun_attr nonce = stun_attr(m, STUN_ATTR_NONCE);

	memset(ret, 0, sizeof(*ret));
	// With both, the stronger one counts.
	ret->integrity = m->integrity_sha256 ? STUN_ATTR_MESSAGE_INTEGRITY_SHA256
					     : STUN_ATTR_MESSAGE_INTEGRITY;
	if (!stun_attr(m, ret->integrity).at)
		ret->code = 401;
	else if ((!stun_attr(m, STUN_ATTR_USERNAME).at && !stun_attr(m, STUN_ATTR_USERHASH).at) ||
		 !stun_attr(m, STUN_ATTR_REALM).at || !nonce.at)
		ret->code = 400;
	else if (!choose_algorithm(a, m, &ret->identity.algorithm))
		ret->code = 400;
	else if (!realm_is_ours(a, m) || !verify(a, m, ret->integrity, known, wall_s, &ret->identity))
		ret->code = 401;
	else if (turn_nonce_check(nonce.at, nonce.len, a->master, source, now_s, a->nonce_life_s) !=
		 TURN_NONCE_GOOD)
		ret->code = 438;
	if (ret->code)
		sodium_memzero(&ret->identity, sizeof(ret->identity));
}

// No anonymity with secrets: a hash of a name that nobody lists has no way back.
static uint32_t features(const struct turn_auth *a)
{
	if (!a->config->sha256)
		return 0;
	return TURN_FEATURE_PASSWORD_ALGORITHMS |
	       (a->config->secrets->len ? 0 : TURN_FEATURE_USERNAME_ANONYMITY);
}

void turn_auth_challenge(const struct turn_auth *a, struct stun_out *o,
	const struct turn_nonce_source *source, uint32_t now_s)
{
	char nonce[TURN_NONCE_LEN + 1];

	turn_nonce_make(nonce, a->master, features(a), source, now_s);
	stun_add(o, STUN_ATTR_REALM, a->config->realm, strlen(a->config->realm));
	stun_add(o, STUN_ATTR_NONCE, nonce, TURN_NONCE_LEN);
	if (a->config->sha256)
		stun_add(o, STUN_ATTR_PASSWORD_ALGORITHMS, offered, sizeof(offered));
}
