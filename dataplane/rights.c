// SPDX-License-Identifier: BSD-3-Clause
//
// Not dumpable, no new privileges, and only these capabilities, which ports that come at run time need:
//
//	NET_ADMIN     tap and TUN, AF_XDP, nftables, promiscuous mode, /proc/sys/net
//	NET_RAW       AF_PACKET, AF_XDP
//	BPF           load AF_XDP's program
//	IPC_LOCK      VFIO's DMA memory, AF_XDP's packet memory, --mlock
//	SYS_RESOURCE  raise the limit on locked memory for the same
//	SYS_ADMIN, SYS_RAWIO  only with --pci: physical addresses where there is no IOMMU
//
// Runs before EAL makes threads: capabilities are per thread and are inherited.
#include "rights.h"

#include "log.h"
#include "options.h"

#include <cap-ng.h>
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

static void capabilities_choose(const struct options *o)
{
	capng_clear(CAPNG_SELECT_BOTH);
	capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_ADMIN, CAP_NET_RAW,
		CAP_BPF, CAP_IPC_LOCK, CAP_SYS_RESOURCE, -1);
	if (o->nb_pci > 0)
		capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_SYS_ADMIN,
			CAP_SYS_RAWIO, -1);
}

// A process that was started with less keeps what it has of these.
static void capabilities_limit(void)
{
	static const unsigned int all[] = {CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_IPC_LOCK,
		CAP_SYS_RESOURCE, CAP_SYS_ADMIN, CAP_SYS_RAWIO};
	unsigned int held = 0;

	capng_get_caps_process();
	for (unsigned int i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (capng_have_capability(CAPNG_PERMITTED, all[i]))
			held |= 1u << i;
	capng_clear(CAPNG_SELECT_BOTH);
	for (unsigned int i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if ((held & 1u << i) != 0)
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, all[i]);
}

int rights_drop(const struct options *o)
{
	int rc;

	if (o->user != NULL) {
		capabilities_choose(o);
		rc = capng_change_id(
			(int)o->uid, (int)o->user_gid, CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING);
	} else if (capng_get_caps_process() == 0 &&
		   capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP)) {
		capabilities_choose(o);
		rc = capng_apply(CAPNG_SELECT_BOTH);
	} else {
		capabilities_limit();
		rc = capng_apply(CAPNG_SELECT_CAPS);
	}
	if (rc != 0) {
		log_error("main: cannot drop capabilities code=%d", rc);
		return -EPERM;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
		log_error("main: cannot give up privileges error=%s", strerror(errno));
		return -errno;
	}
	return 0;
}
