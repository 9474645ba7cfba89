// SPDX-License-Identifier: BSD-3-Clause
//
// Not dumpable, no new privileges, and only these capabilities, which ports that come at run time need:
//
//	NET_ADMIN     tap and TUN, AF_XDP, nftables, promiscuous mode, /proc/sys/net
//	NET_RAW       AF_PACKET, AF_XDP
//	BPF, PERFMON  load AF_XDP's program
//	IPC_LOCK      VFIO's DMA memory, AF_XDP's packet memory, --mlock
//	SYS_RESOURCE  raise the limit on locked memory for the same
//	SYS_ADMIN     libxdp opens AF_XDP's program by its id; physical addresses where there is no IOMMU
//	SYS_RAWIO     with --pci only: devices by ports and VFIO without an IOMMU
//
// Runs before EAL makes threads: capabilities are per thread and are inherited.
#include "rights.h"

#include "log.h"
#include "options.h"

#include <rte_common.h>

#include <cap-ng.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const unsigned int wanted[] = {
	CAP_NET_ADMIN,
	CAP_NET_RAW,
	CAP_BPF,
	CAP_PERFMON,
	CAP_SYS_ADMIN,
	CAP_IPC_LOCK,
	CAP_SYS_RESOURCE,
};
static const unsigned int wanted_pci[] = {CAP_SYS_RAWIO};

static uint32_t held(const unsigned int *caps, unsigned int n)
{
	uint32_t mask = 0;

	for (unsigned int i = 0; i < n; i++)
		if (capng_have_capability(CAPNG_PERMITTED, caps[i]))
			mask |= 1u << i;
	return mask;
}

static void keep(const unsigned int *caps, unsigned int n, uint32_t mask)
{
	for (unsigned int i = 0; i < n; i++)
		if ((mask & 1u << i) != 0)
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, caps[i]);
}

// What is wanted and held: a container may give less, and then the ports that need it say so.
static void capabilities_choose(const struct options *o)
{
	uint32_t base = held(wanted, RTE_DIM(wanted)), pci = held(wanted_pci, RTE_DIM(wanted_pci));

	capng_clear(CAPNG_SELECT_BOTH);
	keep(wanted, RTE_DIM(wanted), base);
	if (o->nb_pci > 0)
		keep(wanted_pci, RTE_DIM(wanted_pci), pci);
}

// Parked sockets of straitd, one per relayed peer.
static void allow_descriptors(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
}

int rights_run_dir(const struct options *o)
{
	gid_t gid = o->gid == (uint32_t)-1 ? o->user_gid : o->gid;
	struct stat st;

	if (o->user == NULL || geteuid() != 0)
		return 0;
	if (mkdir(o->run_dir, 0750) < 0 && errno != EEXIST) {
		log_error("main: cannot make run directory path=%s error=%s", o->run_dir,
			strerror(errno));
		return -errno;
	}
	if (stat(o->run_dir, &st) == 0 && st.st_uid != 0)
		return 0; // somebody prepared it
	// setgid: what is made in it belongs to the group
	if (chown(o->run_dir, o->uid, gid) < 0 || chmod(o->run_dir, 02750) < 0) {
		log_error("main: cannot give run directory to the user path=%s user=%s error=%s",
			o->run_dir, o->user, strerror(errno));
		return -errno;
	}
	return 0;
}

int rights_drop(const struct options *o)
{
	bool bounds;
	int rc;

	allow_descriptors();
	capng_get_caps_process();
	bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	capabilities_choose(o);
	if (o->user != NULL)
		rc = capng_change_id((int)o->uid, (int)o->user_gid,
			CAPNG_DROP_SUPP_GRP | (bounds ? CAPNG_CLEAR_BOUNDING : 0));
	else
		rc = capng_apply(bounds ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS);
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
