// SPDX-License-Identifier: BSD-3-Clause
//
// Rights of straitd. Main thread, before any other thread exists: capabilities belong to threads.
#include "sandbox.h"

#include <glib.h>

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME    "straitd.lock"
#define RUN_DIR_MODE 02750 // setgid: what is made in it belongs to the group

int sandbox_run_dir(const char *dir, const char *group, char **ret_error)
{
	struct group *gr = group ? getgrnam(group) : NULL;
	struct stat st;

	if (g_mkdir_with_parents(dir, 0750)) {
		int err = errno;

		*ret_error =
			g_strdup_printf("cannot make the run directory %s: %s", dir, strerror(err));
		return -err;
	}
	if (stat(dir, &st)) {
		int err = errno;

		*ret_error = g_strdup_printf(
			"cannot look at the run directory %s: %s", dir, strerror(err));
		return -err;
	}
	if (st.st_uid != geteuid())
		return 0; // somebody prepared it for us, its mode is theirs
	if (group && !gr)
		g_info("sandbox: no such group, sockets stay with root group=%s", group);
	if (gr && chown(dir, (uid_t)-1, gr->gr_gid))
		g_warning("sandbox: cannot give run directory to group=%s error=\"%s\"", group,
			strerror(errno));
	if (chmod(dir, RUN_DIR_MODE))
		g_warning("sandbox: cannot set mode of run directory=%s error=\"%s\"", dir,
			strerror(errno));
	return 0;
}

int sandbox_lock(const char *dir, char **ret_error)
{
	char *path = g_build_filename(dir, LOCK_NAME, NULL);
	char pid[16];
	int fd, err = 0;

	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB)) {
		err = errno;
		*ret_error = err == EWOULDBLOCK
				     ? g_strdup_printf(
					       "another straitd runs with the run directory %s", dir)
				     : g_strdup_printf("cannot lock %s: %s", path, strerror(err));
		if (fd >= 0)
			close(fd);
		g_free(path);
		return -err;
	}
	g_free(path);
	// The pid is for people; the lock is what counts, and it stays with the open descriptor.
	snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) || write(fd, pid, strlen(pid)) < 0)
		g_info("sandbox: cannot write pid to lock file error=\"%s\"", strerror(errno));
	return 0;
}

// Each relayed peer is a socket. GLib's loop has no limit of 1024 as select has.
static void allow_descriptors(void)
{
	struct rlimit l;

	if (!getrlimit(RLIMIT_NOFILE, &l) && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
}

int sandbox_enter(const char *user, char **ret_error)
{
	struct passwd *pw = NULL;
	int r;

	allow_descriptors();

	if (prctl(PR_SET_DUMPABLE, 0)) {
		*ret_error = g_strdup_printf("cannot become not dumpable: %s", strerror(errno));
		return -EPERM;
	}
	if (user && !(pw = getpwnam(user))) {
		*ret_error = g_strdup_printf("no such user: %s", user);
		return -ENOENT;
	}
	if (geteuid() != 0)
		return 0; // has no more than it was given
	capng_clear(CAPNG_SELECT_BOTH);
	capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
		CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE, CAP_IPC_LOCK, -1);
	r = pw ? capng_change_id((int)pw->pw_uid, (int)pw->pw_gid, CAPNG_DROP_SUPP_GRP)
	       : capng_apply(CAPNG_SELECT_BOTH);
	if (r) {
		*ret_error = g_strdup_printf("cannot drop capabilities (libcap-ng: %d)", r);
		return -EPERM;
	}
	// A change of identity switches it back on.
	if (prctl(PR_SET_DUMPABLE, 0)) {
		*ret_error = g_strdup_printf("cannot become not dumpable: %s", strerror(errno));
		return -EPERM;
	}
	return 0;
}
