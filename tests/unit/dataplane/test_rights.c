// SPDX-License-Identifier: BSD-3-Clause
//
// rights.c for real: children give up their rights and look at what the kernel says they still have. As root; who is
// not has none to give up, and the suite is skipped.
#include "../suite.h"
#include "options.h"
#include "rights.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SKIP 77 // meson's

#define BIT(cap) (1ull << (cap))
#define WANTED                                                                                     \
	(BIT(CAP_NET_ADMIN) | BIT(CAP_NET_RAW) | BIT(CAP_BPF) | BIT(CAP_PERFMON) |                 \
		BIT(CAP_SYS_ADMIN) | BIT(CAP_IPC_LOCK) | BIT(CAP_SYS_RESOURCE))

#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition);            \
			return false;                                                              \
		}                                                                                  \
	} while (0)

static const struct passwd *nobody;
static struct options options;
static char dir[] = "/tmp/strait-rights-XXXXXX";

static bool in_a_child(bool (*what)(void))
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0)
		_exit(what() ? 0 : 1);
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Of /proc/self/status.
static unsigned long long mask_of(const char *name)
{
	unsigned long long mask = 0;
	char line[256], format[32];
	FILE *f = fopen("/proc/self/status", "re");

	snprintf(format, sizeof(format), "%s: %%llx", name);
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, format, &mask) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return mask;
}

static bool only(unsigned long long wanted, unsigned long long had)
{
	EXPECT(rights_drop(&options) == 0);
	EXPECT(mask_of("CapEff") == (wanted & had));
	EXPECT(mask_of("CapPrm") == (wanted & had));
	EXPECT(mask_of("CapInh") == 0);
	EXPECT(mask_of("CapBnd") == 0 || (had & BIT(CAP_SETPCAP)) == 0);
	EXPECT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	EXPECT(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	return true;
}

static bool keeps_seven(void)
{
	return only(WANTED, mask_of("CapPrm"));
}

static bool keeps_an_eighth(void)
{
	options.pci[0] = "0000:00:00.0";
	options.nb_pci = 1;
	return only(WANTED | BIT(CAP_SYS_RAWIO), mask_of("CapPrm"));
}

static bool becomes_the_user(void)
{
	options.user = nobody->pw_name;
	options.uid = nobody->pw_uid;
	options.user_gid = nobody->pw_gid;
	EXPECT(only(WANTED, mask_of("CapPrm")));
	EXPECT(getuid() == nobody->pw_uid && geteuid() == nobody->pw_uid);
	EXPECT(getgid() == nobody->pw_gid && getegid() == nobody->pw_gid);
	EXPECT(getgroups(0, NULL) == 0);
	EXPECT(setuid(0) < 0 && errno == EPERM);
	EXPECT(open("/etc/shadow", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES);
	return true;
}

static bool raises_its_descriptors(void)
{
	struct rlimit l = {.rlim_cur = 100, .rlim_max = 200};

	EXPECT(setrlimit(RLIMIT_NOFILE, &l) == 0);
	EXPECT(rights_drop(&options) == 0);
	EXPECT(getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur == 200);
	return true;
}

static void only_what_ports_need_is_left(void)
{
	CU_ASSERT_TRUE(in_a_child(keeps_seven));
	CU_ASSERT_TRUE(in_a_child(keeps_an_eighth));
	CU_ASSERT_TRUE(in_a_child(raises_its_descriptors));
}

static void with_a_user_it_is_that_user(void)
{
	CU_ASSERT_TRUE(in_a_child(becomes_the_user));
}

static void the_run_directory_becomes_the_users(void)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "%s/run", dir);
	options = (struct options){.run_dir = path, .gid = (uint32_t)-1};
	CU_ASSERT_EQUAL(rights_run_dir(&options), 0);
	CU_ASSERT_NOT_EQUAL(stat(path, &st), 0); // without a user nothing is made here
	options.user = nobody->pw_name;
	options.uid = nobody->pw_uid;
	options.user_gid = nobody->pw_gid;
	CU_ASSERT_EQUAL(rights_run_dir(&options), 0);
	CU_ASSERT_EQUAL_FATAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_uid, nobody->pw_uid);
	CU_ASSERT_EQUAL(st.st_gid, nobody->pw_gid);
	CU_ASSERT_EQUAL(st.st_mode & 07777, 02750);
	// Somebody prepared it for another: it stays so.
	CU_ASSERT_EQUAL(chown(path, 12, 13), 0);
	CU_ASSERT_EQUAL(rights_run_dir(&options), 0);
	CU_ASSERT_EQUAL_FATAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_uid, 12);
	rmdir(path);
	options.run_dir = "/proc/self/none/run";
	CU_ASSERT_EQUAL(rights_run_dir(&options), -ENOENT);
	options = (struct options){.gid = (uint32_t)-1};
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(only_what_ports_need_is_left),
		TEST(with_a_user_it_is_that_user),
		TEST(the_run_directory_becomes_the_users),
		CU_TEST_INFO_NULL,
	};
	int rc;

	nobody = getpwnam("nobody");
	if (geteuid() != 0 || nobody == NULL)
		return SKIP;
	if (mkdtemp(dir) == NULL)
		return 1;
	rc = run_tests("rights", tests);
	rmdir(dir);
	return rc;
}
