// SPDX-License-Identifier: BSD-3-Clause
//
// Warns of nftables rules that forwarded packets will not meet: strait forwards below the kernel, so
// rules in forward and postrouting hooks see only what the box itself sends. Main loop thread.
#include "host.h"

#include <cjson/cJSON.h>
#include <glib.h>
#include <nftables/libnftables.h>

#include <string.h>

static const char *text_of(const cJSON *o, const char *key)
{
	const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));

	return s ? s : "";
}

static bool unseen_hook(const char *hook)
{
	return !strcmp(hook, "forward") || !strcmp(hook, "postrouting");
}

// The hook of the base chain that rule belongs to, or "".
static const char *hook_of(const cJSON *all, const cJSON *rule)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, all) {
		const cJSON *chain = cJSON_GetObjectItemCaseSensitive(item, "chain");

		if (chain && !strcmp(text_of(chain, "family"), text_of(rule, "family")) &&
			!strcmp(text_of(chain, "table"), text_of(rule, "table")) &&
			!strcmp(text_of(chain, "name"), text_of(rule, "chain")))
			return text_of(chain, "hook");
	}
	return "";
}

static int warn_all(const cJSON *all)
{
	const cJSON *item;
	int n = 0;

	cJSON_ArrayForEach (item, all) {
		const cJSON *rule = cJSON_GetObjectItemCaseSensitive(item, "rule");
		const cJSON *handle;

		if (!rule || !unseen_hook(hook_of(all, rule)))
			continue;
		handle = cJSON_GetObjectItemCaseSensitive(rule, "handle");
		g_warning("host: forwarded packets will not see this nftables rule table=\"%s %s\" "
			  "chain=%s hook=%s handle=%.0f",
			text_of(rule, "family"), text_of(rule, "table"), text_of(rule, "chain"),
			hook_of(all, rule), cJSON_IsNumber(handle) ? handle->valuedouble : 0);
		n++;
	}
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
