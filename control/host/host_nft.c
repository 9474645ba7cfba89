// SPDX-License-Identifier: BSD-3-Clause
//
// Warns of nftables rules that forwarded packets will not meet: strait forwards below the kernel, so
// rules in forward and postrouting hooks see only what the box itself sends. Main loop thread.
#include "host.h"

#include <cjson/cJSON.h>
#include <glib.h>
#include <nftables/libnftables.h>

#include <string.h>

#define WARN_MAX 32 // rules named one by one

static const char *text_of(const cJSON *o, const char *key)
{
	const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));

	return s ? s : "";
}

static bool unseen_hook(const char *hook)
{
	return !strcmp(hook, "forward") || !strcmp(hook, "postrouting");
}

static char *chain_key(const cJSON *o, const char *chain)
{
	return g_strdup_printf("%s %s %s", text_of(o, "family"), text_of(o, "table"), chain);
}

// The base chains in hooks that forwarded packets do not meet: chain_key -> hook.
static GHashTable *unseen_chains(const cJSON *all)
{
	GHashTable *chains = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	const cJSON *item;

	cJSON_ArrayForEach (item, all) {
		const cJSON *chain = cJSON_GetObjectItemCaseSensitive(item, "chain");

		if (chain && unseen_hook(text_of(chain, "hook")))
			g_hash_table_insert(chains, chain_key(chain, text_of(chain, "name")),
				(gpointer)text_of(chain, "hook"));
	}
	return chains;
}

static void warn_rule(const cJSON *rule, const char *hook)
{
	const cJSON *handle = cJSON_GetObjectItemCaseSensitive(rule, "handle");

	g_warning("host: forwarded packets will not see this nftables rule table=\"%s %s\" "
		  "chain=%s hook=%s handle=%.0f",
		text_of(rule, "family"), text_of(rule, "table"), text_of(rule, "chain"), hook,
		cJSON_IsNumber(handle) ? handle->valuedouble : 0);
}

// A rule set of thousands would bury all else in the log.
static int warn_all(const cJSON *all)
{
	GHashTable *chains = unseen_chains(all);
	const cJSON *item;
	int n = 0;

	cJSON_ArrayForEach (item, all) {
		const cJSON *rule = cJSON_GetObjectItemCaseSensitive(item, "rule");
		g_autofree char *key = rule ? chain_key(rule, text_of(rule, "chain")) : NULL;
		const char *hook = key ? g_hash_table_lookup(chains, key) : NULL;

		if (hook && n++ < WARN_MAX)
			warn_rule(rule, hook);
	}
	if (n > WARN_MAX)
		g_warning("host: forwarded packets will not see %d more nftables rules in forward "
			  "and postrouting hooks, see: nft -a list ruleset",
			n - WARN_MAX);
	g_hash_table_destroy(chains);
	return n;
}

int host_warn_nftables(void)
{
	struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
	cJSON *doc = NULL;
	int n = 0;

	if (!nft)
		return 0;
	nft_ctx_output_set_flags(nft, NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_HANDLE);
	nft_ctx_buffer_output(nft);
	nft_ctx_buffer_error(nft);
	if (!nft_run_cmd_from_buffer(nft, "list ruleset"))
		doc = cJSON_Parse(nft_ctx_get_output_buffer(nft));
	else
		g_warning("host: cannot read the nftables ruleset, so nobody looked for forward "
			  "rules");
	if (doc)
		n = warn_all(cJSON_GetObjectItemCaseSensitive(doc, "nftables"));
	cJSON_Delete(doc);
	nft_ctx_free(nft);
	return n;
}
