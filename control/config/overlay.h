// SPDX-License-Identifier: BSD-3-Clause
//
// The overlay: what wg(8) changed in the interfaces beside the configuration file, kept in the run
// directory so that it outlives straitd. It is a difference, never the whole: settings of an interface that
// differ from the file's, and per peer what was added, removed or changed. Over the file it wins.
// This is the model and its file; wg_overlay.c makes it of the live interfaces. Main loop thread.
#pragma once

#include "config.h"

#include <stdbool.h>
#include <stdint.h>

struct cJSON;
struct seal;

#define OVERLAY_NAME "overlay.json" // in the run directory, mode 0600; keys in it are sealed

enum overlay_change {
	OVERLAY_ADDED,   // the file does not have the peer; everything is here
	OVERLAY_REMOVED, // the file has it
	OVERLAY_CHANGED, // the file has it; what is here replaces the file's
};

struct overlay_peer {
	uint8_t public_key[32];
	enum overlay_change change;
	bool has_psk, has_endpoint, has_keepalive, has_allowed;
	uint8_t psk[32]; // all zero: none
	char *host;
	uint16_t port;
	uint16_t keepalive;
	GArray *allowed; // of struct st_prefix; NULL unless has_allowed
};

struct overlay_iface {
	char name[ST_NAME_MAX];
	bool has_key, has_port, has_fwmark;
	uint8_t private_key[32]; // all zero: none
	uint16_t port;
	uint32_t fwmark;
	GHashTable *peers; // public key -> struct overlay_peer *, owned
};

struct overlay;

// Never NULL. A file that cannot be read whole (damaged, another version, sealed with a key that is gone) is
// named in a warning and kept as overlay.json.bad; then there is no overlay. seal NULL: nothing is
// read or written. seal must live longer.
struct overlay *overlay_new(const char *run_dir, const struct seal *seal);
void overlay_free(struct overlay *o); // wipes
bool overlay_is_empty(const struct overlay *o);
const struct overlay_iface *overlay_find(const struct overlay *o, const char *name); // or NULL
const struct overlay_peer *overlay_find_peer(
	const struct overlay *o, const char *name, const uint8_t public_key[32]);

struct overlay_iface *overlay_iface_new(const char *name);
void overlay_iface_free(struct overlay_iface *i);
bool overlay_iface_is_empty(const struct overlay_iface *i);
struct overlay_peer *overlay_iface_add(
	struct overlay_iface *i, const uint8_t public_key[32], enum overlay_change change);
// Takes the array of struct overlay_iface * as the whole overlay and writes the file, or removes it when
// there is nothing. A failure is told in a warning: the overlay then lasts until straitd ends.
void overlay_replace(struct overlay *o, GPtrArray *ifaces);
void overlay_keep_aside(struct overlay *o); // as overlay.json.bad; the overlay is empty then

// The configuration of an interface with the overlay over it. Its peers are the file's own where nothing
// changed, so file must live longer. overlay_merged_free wipes.
struct config_wg *overlay_merge(const struct overlay *o, const struct config_wg *file);
void overlay_merged_free(struct config_wg *merged, const struct config_wg *file);

// An array "changes" for people: interface, peer, change, what. No secrets.
void overlay_describe(const struct overlay *o, struct cJSON *into);

// overlay_json.c. Encode: a document with sealed keys (cJSON_Delete). Decode: NULL with *ret_error.
struct cJSON *overlay_encode(const GPtrArray *ifaces, const struct seal *seal);
GPtrArray *overlay_decode(
	const char *file, const char *text, const struct seal *seal, char **ret_error);
GPtrArray *overlay_ifaces_new(void); // frees its elements
