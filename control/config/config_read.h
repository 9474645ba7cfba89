// SPDX-License-Identifier: BSD-3-Clause
//
// What the readers of the configuration's parts share. Private to control/config*.c.
#pragma once

#include "../json.h"
#include "config.h"

#define CONFIG_MTU_MIN   576
#define CONFIG_MTU_MAX   9216
#define CONFIG_FILE_MAX  (64u << 20)
#define CONFIG_TABLE_MAX 0xfffffffeu

struct config_reader {
	struct config *c;
	const struct json_at *root;
	GHashTable *taken;      // what must be unique -> path of its first place
	unsigned int lcores;    // packet lcores of the document
	unsigned int pci;       // ports by PCI address
	uint32_t peers;         // over all interfaces
	uint32_t allowed_ips;   // likewise
	bool inline_secrets;    // the document itself holds keys
	uint8_t own_public[32]; // of the interface that is being read
};

// Refuses at if what was taken before; what is never shown. because ends the sentence "allowed: ...".
int config_unique(struct config_reader *r, const struct json_at *at, const char *because,
	const char *what, ...) __attribute__((format(printf, 4, 5)));
// at is the name of a kernel interface that may be used.
int config_read_ifname(const struct json_at *at, char **ret);
// The list "addresses" of a port or interface.
int config_read_addresses(struct config_reader *r, const struct json_at *at, GPtrArray *ret);

// config_key.c. at is the object; looks at KEY and KEY_file. *ret_found false when neither is there.
int config_key_read(struct config_reader *r, const struct json_at *at, const char *key,
	uint8_t out[32], bool *ret_found);
int config_key_public(const struct json_at *at, uint8_t out[32]);
// A password: KEY inline, or the first line of the file KEY_file, of at most max bytes. *ret is NULL when
// neither is there; the caller wipes it.
int config_secret_read(
	struct config_reader *r, const struct json_at *at, const char *key, size_t max, char **ret);
int config_file_error(
	const struct json_at *at, const char *path, const char *what, const char *allowed);
// Whether a text stands where the reader of a sample is to put a secret of their own.
bool config_is_placeholder(const char *text);
char *config_path(const struct json_at *at, const char *path); // relative to the document, g_free

// config_port.c, config_wg.c: one element of "ports", "wireguard".
int config_port_read(struct config_reader *r, const struct json_at *at);
bool config_port_is_pci(const struct config_port *p);
void config_port_free(struct config_port *p);
// config_ice.c: "signal" and "ice" of an interface, "ice" of a peer.
int config_ice_read(struct config_reader *r, const struct json_at *wg, struct config_wg *w);
int config_ice_read_peer(
	const struct json_at *peer, const struct config_wg *w, struct config_peer *p);
void config_ice_init(struct config_wg *w);
void config_ice_free(struct config_wg *w);
int config_wg_read(struct config_reader *r, const struct json_at *at);
void config_wg_free(struct config_wg *w);
