// SPDX-License-Identifier: BSD-3-Clause
//
// See xdp_socket.h. The rings are mapped a second time, as the kernel's Documentation/networking/af_xdp.rst
// describes them. A frame's address counts from the page that the pool's memory begins in, less the
// mempool's object header; its upper 16 bits are the offset of the data.
#include "xdp_socket.h"

#include "../log.h"

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <errno.h>
#include <linux/if_xdp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOCKETS_MAX 256 // one more is left to the driver
#define NOT_YET     UINT16_MAX

enum ring { FILL, COMPLETION, RX, TX, RINGS };

struct xdp_socket {
	int fd; // 0: this place is free
	uint16_t eth;
	uint32_t size[RINGS];
	struct ring_map {
		uint8_t *at; // NULL: not mapped
		size_t len, entry;
		struct xdp_ring_offset off;
	} map[RINGS];
};

static struct xdp_socket sockets[SOCKETS_MAX];
static struct rte_mempool *pool;

void xdp_sockets_init(struct rte_mempool *packets)
{
	pool = packets;
}

// ---- the memory that they share with the kernel ----------------------------------------------------

// Where addresses count from.
static uintptr_t pool_page(const struct rte_mempool_memhdr *mem)
{
	return (uintptr_t)mem->addr & ~((uintptr_t)getpagesize() - 1);
}

int xdp_pool_usable(void)
{
	return pool->nb_mem_chunks == 1 ? 0 : -ENOTSUP;
}

// The driver multiplies the packets by their size. But a packet never lies over the end of a page, and without
// hugepages each takes a page of its own: the kernel would throw away, in silence, every packet whose memory is
// behind the product.
void xdp_umem_cover(struct xdp_umem_reg *reg)
{
	const struct rte_mempool_memhdr *mem = STAILQ_FIRST(&pool->mem_list);

	if (reg->addr == pool_page(mem))
		reg->len = (uintptr_t)mem->addr + mem->len - pool_page(mem);
}

// ---- the sockets and their rings -------------------------------------------------------------------

static int ring_of(int option)
{
	switch (option) {
	case XDP_UMEM_FILL_RING:
		return FILL;
	case XDP_UMEM_COMPLETION_RING:
		return COMPLETION;
	case XDP_RX_RING:
		return RX;
	case XDP_TX_RING:
		return TX;
	default:
		return -1;
	}
}

void xdp_socket_note(int fd, int option, const void *value, uint32_t len)
{
	int ring = ring_of(option);
	struct xdp_socket *s = NULL;

	if (ring < 0 || len != sizeof(s->size[0]))
		return;
	for (unsigned int i = 0; i < SOCKETS_MAX && s == NULL; i++)
		if (sockets[i].fd == fd && sockets[i].eth == NOT_YET)
			s = &sockets[i];
	for (unsigned int i = 0; i < SOCKETS_MAX && s == NULL; i++)
		if (sockets[i].fd == 0) {
			s = &sockets[i];
			*s = (struct xdp_socket){.fd = fd, .eth = NOT_YET};
		}
	if (s != NULL)
		memcpy(&s->size[ring], value, len);
}

static void ring_map(struct xdp_socket *s, enum ring ring, const struct xdp_ring_offset *off, off_t at)
{
	struct ring_map *map = &s->map[ring];

	map->entry = ring == FILL || ring == COMPLETION ? sizeof(uint64_t) : sizeof(struct xdp_desc);
	map->off = *off;
	map->len = off->desc + s->size[ring] * map->entry;
	map->at = s->size[ring] == 0 ? MAP_FAILED
				     : mmap(NULL, map->len, PROT_READ, MAP_SHARED, s->fd, at);
	if (map->at == MAP_FAILED)
		map->at = NULL;
}

// While the interface is there: of one that is gone the kernel maps nothing any more.
static void rings_map(struct xdp_socket *s)
{
	struct xdp_mmap_offsets off;
	socklen_t len = sizeof(off);

	if (getsockopt(s->fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &len) != 0 || len != sizeof(off))
		return;
	ring_map(s, FILL, &off.fr, (off_t)XDP_UMEM_PGOFF_FILL_RING);
	ring_map(s, COMPLETION, &off.cr, (off_t)XDP_UMEM_PGOFF_COMPLETION_RING);
	ring_map(s, RX, &off.rx, XDP_PGOFF_RX_RING);
	ring_map(s, TX, &off.tx, XDP_PGOFF_TX_RING);
}

void xdp_sockets_assign(uint16_t eth)
{
	for (unsigned int i = 0; i < SOCKETS_MAX; i++)
		if (sockets[i].fd != 0 && sockets[i].eth == NOT_YET) {
			sockets[i].eth = eth;
			rings_map(&sockets[i]);
		}
}

// ---- giving packets back ---------------------------------------------------------------------------

static void frame_free(uint64_t addr)
{
	const struct rte_mempool_memhdr *mem = STAILQ_FIRST(&pool->mem_list);
	uintptr_t begin = (uintptr_t)mem->addr;
	uintptr_t at = pool_page(mem) + (addr & XSK_UNALIGNED_BUF_ADDR_MASK) + pool->header_size;

	if (at >= begin && at + pool->elt_size <= begin + mem->len)
		rte_mbuf_raw_free((struct rte_mbuf *)at);
	else
		log_warning("xdp: a ring held what is no packet of the pool");
}

// Entries that the producer has made and nobody has taken: addresses, or descriptors that begin with one.
static void ring_drain(struct ring_map *map, uint32_t size)
{
	uint32_t head, tail;

	if (map->at == NULL)
		return;
	memcpy(&head, map->at + map->off.consumer, sizeof(head));
	memcpy(&tail, map->at + map->off.producer, sizeof(tail));
	for (; head != tail; head++) {
		uint64_t addr;

		memcpy(&addr, map->at + map->off.desc + (head & (size - 1)) * map->entry,
			sizeof(addr));
		frame_free(addr);
	}
}

static void rings_unmap(struct xdp_socket *s)
{
	for (unsigned int r = 0; r < RINGS; r++)
		if (s->map[r].at != NULL)
			munmap(s->map[r].at, s->map[r].len);
}

static bool is_xdp(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_XDP;
}

void xdp_sockets_close(uint16_t eth)
{
	for (unsigned int i = 0; i < SOCKETS_MAX; i++) {
		struct xdp_socket *s = &sockets[i];

		if (s->fd == 0 || s->eth != eth)
			continue;
		if (is_xdp(s->fd)) { // else the driver has closed it after all
			for (unsigned int r = 0; r < RINGS; r++)
				ring_drain(&s->map[r], s->size[r]);
			close(s->fd);
		}
		rings_unmap(s);
		s->fd = 0;
	}
}
