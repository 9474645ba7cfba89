// SPDX-License-Identifier: BSD-3-Clause
//
// "ports" of the configuration: each driver has keys of its own, which become a DPDK device string here.
// strait-dp appends the instance number to a virtual device's name.
#include "config_read.h"

#include <cjson/cJSON.h>

#include <errno.h>
#include <string.h>

#define DEFAULT_MTU 1500
#define QUEUES_MAX  64
#define RING_MIN    64
#define RING_MAX    32768
#define PCI_MAX     32 // strait-dp's --pci

// AF_PACKET rings: 2048 frames hold one second of a 2000 packets/s loss test. A frame has room for the
// kernel's header, link header with a VLAN tag, and the MTU; PACKET_BLOCK is a multiple of the page size.
#define PACKET_FRAMES     2048
#define PACKET_FRAME_HEAD 84
#define PACKET_FRAME      2048 // fits an mbuf, which net_af_packet insists on
#define PACKET_BLOCK      65536

#define MEMIF_BUFFER_MIN 1024
#define MEMIF_BUFFER_MAX 16384
#define MEMIF_RING_LOG2  14
#define MEMIF_SOCKET_MAX 107 // sun_path
#define DEVARGS_TEXT_MAX                                                                           \
	(sizeof(((struct st_port *)0)->devargs) - 8) // room for the instance number
#define PATH_ALLOWED "an absolute path without spaces and commas"

struct driver {
	const char *name;
	const char *keys[8];
	int (*read)(struct config_reader *r, const struct json_at *at, struct config_port *p,
		GString *out);
};

// ---- pieces --------------------------------------------------------------------------------------

// Devargs separate by comma, and strait-dp's log by blanks.
static bool devargs_safe(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text <= ' ' || *text == ',' || *text == 0x7f)
			return false;
	}
	return true;
}

static int read_required_ifname(struct config_reader *r, const struct json_at *port, char **ret)
{
	struct json_at at = json_member(port, "interface");
	int e = config_read_ifname(&at, ret);

	if (!e)
		e = config_unique(r, &at, "a kernel interface that no other port or host device uses",
			"interface %s", *ret);
	return e;
}

static int read_path(const struct json_at *port, const char *key, size_t max, const char **ret)
{
	struct json_at at = json_member(port, key);
	int e = json_text(&at, PATH_ALLOWED, ret);

	if (!e && ((*ret)[0] != '/' || strlen(*ret) > max || !devargs_safe(*ret)))
		e = json_error(&at, NULL, PATH_ALLOWED " of at most %zu bytes", max);
	return e;
}

// ---- drivers -------------------------------------------------------------------------------------

// DDDD:BB:DD.F, or without the domain.
static bool pci_valid(const char *text)
{
	const char *shape = strlen(text) == 7 ? "xx:xx.d" : "xxxx:xx:xx.d";
	size_t i;

	if (strlen(text) != strlen(shape))
		return false;
	for (i = 0; shape[i]; i++) {
		if (shape[i] == 'x'       ? !g_ascii_isxdigit(text[i])
			: shape[i] == 'd' ? text[i] < '0' || text[i] > '7'
					  : text[i] != shape[i])
			return false;
	}
	return true;
}

static int read_pci(
	struct config_reader *r, const struct json_at *port, struct config_port *p, GString *out)
{
	static const char allowed[] = "a PCI address such as 0000:03:00.0";
	struct json_at at = json_member(port, "address");
	const char *text = NULL;
	int e = json_text(&at, allowed, &text);

	if (e)
		return e;
	if (!pci_valid(text))
		return json_error(&at, NULL, "%s", allowed);
	g_string_printf(out, "%s%s", strlen(text) == 7 ? "0000:" : "", text);
	g_string_ascii_down(out);
	if (++r->pci > PCI_MAX)
		return json_error(&at, NULL, "at most %d PCI devices", PCI_MAX);
	return config_unique(r, &at, "each PCI device once", "pci %s", out->str);
}

static int read_af_packet(
	struct config_reader *r, const struct json_at *port, struct config_port *p, GString *out)
{
	struct json_at mtu_at = json_member(port, "mtu");
	uint32_t queues = MIN(r->lcores, 16), frames = PACKET_FRAMES;
	bool bypass = false;
	int e = read_required_ifname(r, port, &p->guard_if);

	if (!e)
		e = json_read_uint(port, "queues", 1, 16, &queues);
	if (!e)
		e = json_read_uint(port, "frames", 256, 65536, &frames);
	if (!e)
		e = json_read_bool(port, "qdisc_bypass", &bypass);
	if (e)
		return e;
	if (p->mtu > PACKET_FRAME - PACKET_FRAME_HEAD)
		return json_error(&mtu_at, NULL, "an MTU of at most %d with af_packet",
			PACKET_FRAME - PACKET_FRAME_HEAD);
	// The kernel wants the last block full.
	frames -= frames % (PACKET_BLOCK / PACKET_FRAME);
	g_string_printf(out, "net_af_packet,iface=%s,qpairs=%u,blocksz=%u,framesz=%u,framecnt=%u",
		p->guard_if, queues, PACKET_BLOCK, PACKET_FRAME, frames);
	if (bypass)
		g_string_append(out, ",qdisc_bypass=1");
	return 0;
}

static int read_af_xdp(
	struct config_reader *r, const struct json_at *port, struct config_port *p, GString *out)
{
	uint32_t start = 0, queues = 1, budget = 64;
	bool copy = false;
	int e = read_required_ifname(r, port, &p->guard_if);

	if (!e)
		e = json_read_uint(port, "start_queue", 0, 255, &start);
	if (!e)
		e = json_read_uint(port, "queues", 1, QUEUES_MAX, &queues);
	if (!e)
		e = json_read_uint(port, "busy_budget", 0, UINT16_MAX, &budget);
	if (!e)
		e = json_read_bool(port, "force_copy", &copy);
	if (e)
		return e;
	g_string_printf(out, "net_af_xdp,iface=%s,start_queue=%u,queue_count=%u,busy_budget=%u",
		p->guard_if, start, queues, budget);
	if (copy)
		g_string_append(out, ",force_copy=1");
	return 0;
}

static int read_memif(
	struct config_reader *r, const struct json_at *port, struct config_port *p, GString *out)
{
	static const char *const roles[] = {"server", "client", NULL};
	uint32_t id = 0, buffer = 2048, ring = 11;
	struct json_at role_at = json_member(port, "role");
	const char *path = NULL;
	unsigned int role = 0;
	int e = read_path(port, "socket", MEMIF_SOCKET_MAX, &path);

	if (!e && !role_at.item)
		e = json_error(&role_at, NULL, "server or client: one end of each");
	if (!e)
		e = json_read_choice(port, "role", roles, &role);
	if (!e)
		e = json_read_uint(port, "id", 0, UINT32_MAX, &id);
	if (!e)
		e = json_read_uint(port, "buffer_size", MEMIF_BUFFER_MIN, MEMIF_BUFFER_MAX, &buffer);
	if (!e)
		e = json_read_uint(port, "ring_log2", 8, MEMIF_RING_LOG2, &ring);
	if (!e)
		e = config_unique(
			r, port, "each pair of socket and id once", "memif %s %u", path, id);
	if (e)
		return e;
	g_string_printf(out, "net_memif,role=%s,id=%u,socket=%s,socket-abstract=no,bsize=%u,rsize=%u",
		roles[role], id, path, buffer, ring);
	return 0;
}

// A tap of the port's own: its kernel side is the other end of the wire. Not the paired host device.
static int read_tap(
	struct config_reader *r, const struct json_at *port, struct config_port *p, GString *out)
{
	char *name = NULL;
	int e = read_required_ifname(r, port, &name);

	if (!e)
		g_string_printf(out, "net_tap,iface=%s", name);
	g_free(name);
	return e;
}

static int read_ring(
	struct config_reader *r, const struct json_at *port, struct config_port *p, GString *out)
{
	g_string_assign(out, "net_ring");
	return 0;
}

static int read_null(
	struct config_reader *r, const struct json_at *port, struct config_port *p, GString *out)
{
	uint32_t size = 64;
	bool copy = false, no_rx = true;
	int e = json_read_uint(port, "packet_size", 64, 2048, &size);

	if (!e)
		e = json_read_bool(port, "copy", &copy);
	if (!e)
		e = json_read_bool(port, "no_rx", &no_rx);
	if (!e)
		g_string_printf(out, "net_null,size=%u,copy=%d,no-rx=%d", size, copy, no_rx);
	return e;
}

static int read_pcap(
	struct config_reader *r, const struct json_at *port, struct config_port *p, GString *out)
{
	struct json_at rx = json_member(port, "rx_pcap"), tx = json_member(port, "tx_pcap");
	const char *rx_path = NULL, *tx_path = NULL;
	bool infinite = false;
	int e = 0;

	if (!rx.item && !tx.item)
		return json_error(&rx, NULL, "\"rx_pcap\", \"tx_pcap\" or both");
	if (rx.item)
		e = read_path(port, "rx_pcap", 100, &rx_path);
	if (!e && tx.item)
		e = read_path(port, "tx_pcap", 100, &tx_path);
	if (!e)
		e = json_read_bool(port, "infinite_rx", &infinite);
	if (e)
		return e;
	g_string_assign(out, "net_pcap");
	if (rx_path)
		g_string_append_printf(out, ",rx_pcap=%s", rx_path);
	if (tx_path)
		g_string_append_printf(out, ",tx_pcap=%s", tx_path);
	if (infinite)
		g_string_append(out, ",infinite_rx=1");
	return 0;
}

static int read_devargs(
	struct config_reader *r, const struct json_at *port, struct config_port *p, GString *out)
{
	static const char allowed[] =
		"a DPDK device string such as 0000:03:00.0,rx_vec_en=1, no spaces";
	struct json_at at = json_member(port, "devargs");
	const char *text = NULL, *c;
	int e = json_text(&at, allowed, &text);

	if (e)
		return e;
	for (c = text; (unsigned char)*c > ' ' && *c != 0x7f; c++)
		;
	if (*c || *text == ',' || *text == '-')
		return json_error(&at, NULL, "%s", allowed);
	g_string_assign(out, text);
	return config_unique(r, &at, "each device once", "devargs %s", text);
}

bool config_port_is_pci(const struct config_port *p)
{
	char *device = g_strndup(p->devargs, strcspn(p->devargs, ","));
	bool pci = pci_valid(device);

	g_free(device);
	return pci;
}

static const struct driver drivers[] = {
	[DRIVER_PCI] = {"pci", {"address"}, read_pci},
	[DRIVER_AF_PACKET] = {"af_packet", {"interface", "queues", "frames", "qdisc_bypass"},
		read_af_packet},
	[DRIVER_AF_XDP] = {"af_xdp",
		{"interface", "start_queue", "queues", "busy_budget", "force_copy"}, read_af_xdp},
	[DRIVER_MEMIF] = {"memif", {"socket", "role", "id", "buffer_size", "ring_log2"}, read_memif},
	[DRIVER_TAP] = {"tap", {"interface"}, read_tap},
	[DRIVER_RING] = {"ring", {NULL}, read_ring},
	[DRIVER_NULL] = {"null", {"packet_size", "copy", "no_rx"}, read_null},
	[DRIVER_PCAP] = {"pcap", {"rx_pcap", "tx_pcap", "infinite_rx"}, read_pcap},
	[DRIVER_DEVARGS] = {"devargs", {"devargs"}, read_devargs},
};

// ---- what every port has -------------------------------------------------------------------------

static int read_driver(const struct json_at *port, enum config_driver *ret)
{
	const char *names[G_N_ELEMENTS(drivers) + 1];
	struct json_at at = json_member(port, "driver");
	unsigned int i, n = 0;
	int e;

	for (i = 0; i < G_N_ELEMENTS(drivers); i++)
		names[i] = drivers[i].name;
	names[i] = NULL;
	if (!at.item) {
		char *list = g_strjoinv(", ", (char **)names);

		e = json_error(&at, NULL, "one of %s", list);
		g_free(list);
		return e;
	}
	e = json_read_choice(port, "driver", names, &n);
	if (!e)
		*ret = (enum config_driver)n;
	return e;
}

static int check_keys(const struct json_at *port, const struct driver *driver)
{
	static const char *const common[] = {"name", "driver", "host", "mac", "mtu", "rx_queues",
		"tx_queues", "ring_size", "addresses"};
	const char *keys[G_N_ELEMENTS(common) + G_N_ELEMENTS(driver->keys) + 1];
	unsigned int n = 0, i;

	for (i = 0; i < G_N_ELEMENTS(common); i++)
		keys[n++] = common[i];
	for (i = 0; i < G_N_ELEMENTS(driver->keys) && driver->keys[i]; i++)
		keys[n++] = driver->keys[i];
	keys[n] = NULL;
	return json_check_keys(port, keys);
}

static int read_mac(struct config_reader *r, const struct json_at *port, struct config_port *p)
{
	static const char allowed[] = "a unicast MAC address such as 02:00:00:00:00:01";
	struct json_at at = json_member(port, "mac");
	const char *text = NULL;
	unsigned int i;
	int e;

	if (!at.item)
		return 0;
	e = json_text(&at, allowed, &text);
	if (e)
		return e;
	if (strlen(text) != 17)
		return json_error(&at, NULL, "%s", allowed);
	for (i = 0; i < 6; i++) {
		int hi = g_ascii_xdigit_value(text[3 * i]),
		    lo = g_ascii_xdigit_value(text[3 * i + 1]);

		if (hi < 0 || lo < 0 || (i < 5 && text[3 * i + 2] != ':'))
			return json_error(&at, NULL, "%s", allowed);
		p->mac[i] = (uint8_t)(hi << 4 | lo);
	}
	if ((p->mac[0] & 1) || !memcmp(p->mac, "\0\0\0\0\0", 6))
		return json_error(&at, NULL, "%s", allowed);
	p->has_mac = true;
	return config_unique(r, &at, "each MAC address once", "mac %02x%02x%02x%02x%02x%02x",
		p->mac[0], p->mac[1], p->mac[2], p->mac[3], p->mac[4], p->mac[5]);
}

static int read_ring_size(const struct json_at *port, struct config_port *p)
{
	struct json_at at = json_member(port, "ring_size");
	int e = json_read_u16(port, "ring_size", 0, RING_MAX, &p->ring_size);

	if (!e && p->ring_size && (p->ring_size < RING_MIN || p->ring_size & (p->ring_size - 1)))
		e = json_error(&at, NULL, "0 (the device's default) or a power of two from %u to %u",
			RING_MIN, RING_MAX);
	return e;
}

static int read_common(struct config_reader *r, const struct json_at *port, struct config_port *p)
{
	struct json_at name = json_member(port, "name"), addresses = json_member(port, "addresses");
	int e = config_read_ifname(&name, &p->name);

	if (!e)
		e = config_unique(r, &name, "a name of its own for each port and interface",
			"interface %s", p->name);
	if (!e)
		e = json_read_bool(port, "host", &p->host);
	if (!e)
		e = read_mac(r, port, p);
	if (!e)
		e = json_read_u16(port, "mtu", CONFIG_MTU_MIN, CONFIG_MTU_MAX, &p->mtu);
	if (!e)
		e = json_read_u16(port, "rx_queues", 0, QUEUES_MAX, &p->rx_queues);
	if (!e)
		e = json_read_u16(port, "tx_queues", 0, QUEUES_MAX, &p->tx_queues);
	if (!e)
		e = read_ring_size(port, p);
	if (!e)
		e = config_read_addresses(r, port, p->addresses);
	if (!e && p->addresses->len && !p->host)
		e = json_error(&addresses, "addresses on a port without host device",
			"\"host\": true, or no addresses");
	return e;
}

int config_port_read(struct config_reader *r, const struct json_at *at)
{
	struct config_port *p = g_new0(struct config_port, 1);
	GString *devargs = g_string_new(NULL);
	int e;

	p->host = true;
	p->mtu = DEFAULT_MTU;
	p->addresses = g_ptr_array_new_with_free_func(g_free);
	g_ptr_array_add(r->c->ports, p);
	e = cJSON_IsObject(at->item) ? read_driver(at, &p->driver)
				     : json_error(at, NULL, "an object {...}");
	if (!e)
		e = check_keys(at, &drivers[p->driver]);
	if (!e)
		e = read_common(r, at, p);
	if (!e)
		e = drivers[p->driver].read(r, at, p, devargs);
	if (!e && devargs->len > DEVARGS_TEXT_MAX)
		e = json_error(
			at, devargs->str, "a device string of at most %zu bytes", DEVARGS_TEXT_MAX);
	p->devargs = g_string_free(devargs, FALSE);
	return e;
}

void config_port_free(struct config_port *p)
{
	if (!p)
		return;
	g_free(p->name);
	g_free(p->devargs);
	g_free(p->guard_if);
	g_ptr_array_free(p->addresses, TRUE);
	g_free(p);
}
