// SPDX-License-Identifier: BSD-3-Clause
//
// Rights of straitd. Main thread, before any other thread exists: capabilities belong to threads.
#include "sandbox.h"

#include <glib.h>

#include <cap-ng.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME    "straitd.lock"
#define RUN_DIR_MODE 02750 // setgid: what is made in it belongs to the group

static int directory_make(const char *dir, mode_t mode, char **ret_error)
{
	int err;

	if (!g_mkdir_with_parents(dir, mode))
		return 0;
	err = errno;
	*ret_error = g_strdup_printf("cannot make the directory %s: %s", dir, strerror(err));
	return -err;
}

// NULL without a message: nobody to become, or we are not root and remain who we are.
static const struct passwd *user_find(const char *user, char **ret_error)
{
	const struct passwd *pw = user && !geteuid() ? getpwnam(user) : NULL;

	if (user && !geteuid() && !pw)
		*ret_error = g_strdup_printf("no such user: %s", user);
	return pw;
}

// Files that a root straitd left. Not through links: what else they name is none of ours to give away.
static void give_files(const char *dir, const struct passwd *pw)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	struct stat st;

	while (d && (e = readdir(d))) {
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) || st.st_uid ||
			!S_ISREG(st.st_mode) || st.st_nlink != 1)
			continue;
		if (fchownat(dirfd(d), e->d_name, pw->pw_uid, (gid_t)-1, AT_SYMLINK_NOFOLLOW))
			g_warning("sandbox: cannot give file=%s/%s to user=%s error=\"%s\"", dir,
				e->d_name, pw->pw_name, strerror(errno));
	}
	if (d)
		closedir(d);
}

static void directory_give(const char *dir, const struct passwd *pw, const char *group)
{
	const struct group *gr = group ? getgrnam(group) : NULL;
	uid_t uid = pw ? pw->pw_uid : (uid_t)-1;
	gid_t gid = gr ? gr->gr_gid : pw ? pw->pw_gid : (gid_t)-1;

	if (group && !gr)
		g_info("sandbox: no such group, sockets stay with root group=%s", group);
	if (chown(dir, uid, gid))
		g_warning("sandbox: cannot give directory=%s to user=%s group=%s error=\"%s\"", dir,
			pw ? pw->pw_name : "-", group ? group : "-", strerror(errno));
	if (chmod(dir, RUN_DIR_MODE))
		g_warning("sandbox: cannot set mode of run directory=%s error=\"%s\"", dir,
			strerror(errno));
}

int sandbox_run_dir(const char *dir, const char *user, const char *group, char **ret_error)
{
	const struct passwd *pw = user_find(user, ret_error);
	struct stat st;
	int err = *ret_error ? -ENOENT : directory_make(dir, 0750, ret_error);

	if (err)
		return err;
	if (stat(dir, &st)) {
		err = errno;
		*ret_error = g_strdup_printf(
			"cannot look at the run directory %s: %s", dir, strerror(err));
		return -err;
	}
	// Of somebody else: prepared for us, and its mode is theirs. Done already: as systemd wants us, not even
	// the same mode may be set again (RestrictSUIDSGID).
	if (st.st_uid == geteuid() && (!geteuid() || (st.st_mode & 07777) != RUN_DIR_MODE))
		directory_give(dir, pw, group);
	if (geteuid() && access(dir, W_OK)) {
		*ret_error =
			g_strdup_printf("the run directory %s is not ours to write in; as root: "
					"chown %u %s, or systemd-tmpfiles --create",
				dir, geteuid(), dir);
		return -EACCES;
	}
	if (pw)
		give_files(dir, pw);
	return 0;
}

int sandbox_shared_dir(const char *dir, const char *user, char **ret_error)
{
	const struct passwd *pw = user_find(user, ret_error);
	int err = *ret_error ? -ENOENT : pw ? directory_make(dir, 0755, ret_error) : 0;

	if (pw && !err && (chown(dir, (uid_t)-1, pw->pw_gid) || chmod(dir, 0775)))
		g_warning("sandbox: cannot let user=%s use directory=%s error=\"%s\"", user, dir,
			strerror(errno));
	return err;
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
	bool bounds;
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
	capng_get_caps_process();
	bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	capng_clear(CAPNG_SELECT_BOTH);
	capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
		CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE, CAP_IPC_LOCK, -1);
	r = bounds ? capng_apply(CAPNG_SELECT_BOUNDS) : 0; // a change of identity leaves these alone
	if (!r)
		r = pw ? capng_change_id((int)pw->pw_uid, (int)pw->pw_gid, CAPNG_DROP_SUPP_GRP)
		       : capng_apply(CAPNG_SELECT_CAPS);
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
