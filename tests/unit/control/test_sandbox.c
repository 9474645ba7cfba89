// SPDX-License-Identifier: BSD-3-Clause
//
// control/sandbox.c for real: children give up their rights and show what they still may do. As root; who is not has
// none to give up, and the suite is skipped.
#include "../../../control/sandbox.h"
#include "../suite.h"

#include <glib.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define USER "nobody"
#define SKIP 77 // meson's

static char *dir;
static const struct passwd *user;

// ---- children --------------------------------------------------------------------------------------

#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition);            \
			return false;                                                              \
		}                                                                                  \
	} while (0)

// In a process of its own, so that this one keeps its rights.
static bool in_a_child(bool (*what)(void))
{
	pid_t pid = fork();
	int status = 0;

	if (!pid)
		_exit(what() ? 0 : 1);
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status);
}

static bool refused(int result, int error)
{
	return result < 0 && errno == error;
}

static bool has_only_its_four_capabilities(void)
{
	static const int kept[] = {CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE, CAP_IPC_LOCK};
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	uint32_t want = 0;

	for (size_t i = 0; i < G_N_ELEMENTS(kept); i++) {
		want |= 1U << kept[i];
		EXPECT(prctl(PR_CAPBSET_READ, kept[i]) == 1);
	}
	EXPECT(!syscall(SYS_capget, &head, data));
	EXPECT(data[0].effective == want && data[0].permitted == want);
	EXPECT(!data[1].effective && !data[1].permitted);
	EXPECT(!prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN) && !prctl(PR_CAPBSET_READ, CAP_SETUID));
	return true;
}

static bool may_do_what_straitd_does(void)
{
	struct sockaddr_in low = {.sin_family = AF_INET,
		.sin_port = htons(7),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP), mark = 7;
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	EXPECT(raw >= 0);
	EXPECT(!setsockopt(udp, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)));
	EXPECT(!bind(udp, (struct sockaddr *)&low, sizeof(low)));
	return true;
}

static bool may_not_do_more(void)
{
	char *secret = g_build_filename(dir, "of-another", NULL);

	EXPECT(prctl(PR_GET_DUMPABLE) == 0);
	EXPECT(refused(chroot(dir), EPERM));
	EXPECT(refused(chown(dir, 1, 1), EPERM));
	EXPECT(refused(setuid(1), EPERM));
	EXPECT(refused(sethostname("strait", 6), EPERM));
	EXPECT(refused(open(secret, O_RDONLY | O_CLOEXEC), EACCES));
	return true;
}

static bool enter_as_root(void)
{
	char *error = NULL;

	EXPECT(!sandbox_enter(NULL, &error) && !error);
	EXPECT(!getuid());
	return has_only_its_four_capabilities() && may_do_what_straitd_does() && may_not_do_more();
}

static bool enter_as_a_user(void)
{
	char *error = NULL;

	EXPECT(!sandbox_enter(USER, &error) && !error);
	EXPECT(getuid() == user->pw_uid && geteuid() == user->pw_uid);
	EXPECT(getgid() == user->pw_gid && getegid() == user->pw_gid);
	EXPECT(getgroups(0, NULL) == 0);
	EXPECT(refused(setuid(0), EPERM));
	return has_only_its_four_capabilities() && may_do_what_straitd_does() && may_not_do_more();
}

static bool lock_is_taken(void)
{
	char *error = NULL;

	EXPECT(sandbox_lock(dir, &error) == -EWOULDBLOCK);
	EXPECT(strstr(error, "another straitd runs") && strstr(error, dir));
	return true;
}

static bool lock_and_look(void)
{
	char *error = NULL, *path = g_build_filename(dir, "straitd.lock", NULL), *text = NULL;

	EXPECT(!sandbox_lock(dir, &error) && !error);
	EXPECT(g_file_get_contents(path, &text, NULL, NULL));
	EXPECT(atoi(text) == getpid());
	return in_a_child(lock_is_taken);
}

// ---- tests -----------------------------------------------------------------------------------------

static char *file_make(const char *name, mode_t mode)
{
	char *path = g_build_filename(dir, name, NULL);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	close(fd);
	return path;
}

static uid_t owner(const char *path)
{
	struct stat st;

	CU_ASSERT_EQUAL_FATAL(lstat(path, &st), 0);
	return st.st_uid;
}

static void root_keeps_four_capabilities_and_no_more(void)
{
	g_autofree char *secret = file_make("of-another", 0600);

	CU_ASSERT_EQUAL(chown(secret, user->pw_uid, user->pw_gid), 0);
	CU_ASSERT_TRUE(in_a_child(enter_as_root));
	unlink(secret);
}

static void a_user_has_them_too_and_cannot_go_back(void)
{
	g_autofree char *secret = file_make("of-another", 0600);

	CU_ASSERT_EQUAL(chmod(dir, 0755), 0); // it is the file that is refused
	CU_ASSERT_TRUE(in_a_child(enter_as_a_user));
	unlink(secret);
}

static void a_user_that_does_not_exist_is_named(void)
{
	char *error = NULL;

	CU_ASSERT_EQUAL(sandbox_run_dir(dir, "no-such-user", NULL, &error), -ENOENT);
	CU_ASSERT_STRING_EQUAL(error, "no such user: no-such-user");
	g_free(error);
}

static void one_process_holds_the_lock_until_it_ends(void)
{
	g_autofree char *lock = g_build_filename(dir, "straitd.lock", NULL);

	CU_ASSERT_TRUE(in_a_child(lock_and_look));
	CU_ASSERT_TRUE(in_a_child(lock_and_look));
	unlink(lock);
}

static void the_run_directory_becomes_the_users_with_what_root_left(void)
{
	g_autofree char *run = g_build_filename(dir, "run", NULL);
	g_autofree char *outside = file_make("outside", 0600), *target = file_make("target", 0600);
	g_autofree char *link = g_build_filename(run, "link", NULL);
	g_autofree char *hard = g_build_filename(run, "hard", NULL);
	g_autofree char *left = NULL;
	char *error = NULL;
	struct stat st;

	CU_ASSERT_EQUAL_FATAL(sandbox_run_dir(run, NULL, NULL, &error), 0);
	left = file_make("run/left", 0600);
	CU_ASSERT_EQUAL(symlink(target, link), 0);
	CU_ASSERT_EQUAL(linkat(AT_FDCWD, outside, AT_FDCWD, hard, 0), 0);
	CU_ASSERT_EQUAL_FATAL(sandbox_run_dir(run, USER, NULL, &error), 0);
	CU_ASSERT_EQUAL(stat(run, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 07777, 02750);
	CU_ASSERT_EQUAL(st.st_uid, user->pw_uid);
	CU_ASSERT_EQUAL(st.st_gid, user->pw_gid);
	CU_ASSERT_EQUAL(owner(left), user->pw_uid);
	// What other names lead to is not in it.
	CU_ASSERT_EQUAL(owner(target), 0);
	CU_ASSERT_EQUAL(owner(link), 0);
	CU_ASSERT_EQUAL(owner(outside), 0);
	unlink(left);
	unlink(link);
	unlink(hard);
	unlink(outside);
	unlink(target);
	rmdir(run);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(root_keeps_four_capabilities_and_no_more),
		TEST(a_user_has_them_too_and_cannot_go_back),
		TEST(a_user_that_does_not_exist_is_named),
		TEST(one_process_holds_the_lock_until_it_ends),
		TEST(the_run_directory_becomes_the_users_with_what_root_left),
		CU_TEST_INFO_NULL,
	};
	int ret;

	user = getpwnam(USER);
	if (geteuid() || !user)
		return SKIP;
	dir = g_dir_make_tmp("strait-sandbox-XXXXXX", NULL);
	if (!dir)
		return 99;
	ret = run_tests("sandbox", tests);
	rmdir(dir);
	g_free(dir);
	return ret;
}
