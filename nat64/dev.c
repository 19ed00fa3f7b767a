/* dev.c - makes the TUN device: offload headers, several queues, no addresses of its own. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/os/log.h"
#include "common/os/net.h"
#include "nat64/dev.h"
#include "nat64/vnet.h"

#define TUN_PATH "/dev/net/tun"
/* Packets that wait for the daemon, in each queue: some ms of small ones, or 200 ms of a restart at
 * 20,000 a second; as packets of many segments they can take 250 MB a queue of the kernel's memory.
 */
#define QUEUE_SIZE 4000

static int sysctl4_put(const char *ifname, const char *key, const char *value)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/%s", ifname, key);
	f = fopen(path, "we");
	if (!f)
		return -errno;
	fputs(value, f);
	return fclose(f) < 0 ? -errno : 0;
}

/* Checksums and segmentation of TCP, and of UDP since Linux 6.2. */
static int offloads(int fd)
{
	unsigned tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

	if (ioctl(fd, TUNSETOFFLOAD, tcp | VNET_TUN_F_USO) == 0)
		return 0;
	log_debug("this kernel has no UDP segmentation offload for TUN devices");
	return ioctl(fd, TUNSETOFFLOAD, tcp) < 0 ? -errno : 0;
}

static int queue_open(const char *dev, bool multi, int *out)
{
	struct ifreq req = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC), r = 0;

	if (fd < 0) {
		r = -errno;
		log_err("%s: %s", TUN_PATH, strerror(-r));
		return r;
	}
	if (multi)
		req.ifr_flags |= IFF_MULTI_QUEUE;
	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", dev);
	if (ioctl(fd, TUNSETIFF, &req) < 0) {
		r = -errno;
		log_err("device %s: %s%s", dev, strerror(-r),
			r == -EBUSY || r == -EINVAL ? ": is there another of that name?" : "");
	} else {
		r = offloads(fd);
		if (r < 0)
			log_err("device %s: offloads: %s", dev, strerror(-r));
	}
	if (r < 0)
		close(fd);
	else
		*out = fd;
	return r;
}

/* The kernel must neither make addresses for the device, nor drop what comes out of it: an ICMP
 * error has an address of this host as its source, and that of a pool is routed elsewhere. */
static int settings(const char *dev)
{
	int r = net_sysctl6(dev, "addr_gen_mode", "1");

	if (r == -ENOENT) {
		log_err("device %s: IPv6 is switched off on this host", dev);
		return r;
	}
	if (r == 0)
		r = net_sysctl6(dev, "accept_ra", "0");
	if (r == 0)
		r = net_sysctl6(dev, "forwarding", "1");
	if (r == 0)
		r = sysctl4_put(dev, "forwarding", "1");
	if (r == 0)
		r = sysctl4_put(dev, "accept_local", "1");
	if (r == 0)
		r = sysctl4_put(dev, "rp_filter", "0");
	if (r < 0)
		log_err("device %s: its settings in /proc/sys/net: %s", dev, strerror(-r));
	return r;
}

static int bring_up(const char *dev, unsigned mtu)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;
	struct ifreq req = {0};

	if (fd < 0)
		return -errno;
	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", dev);
	req.ifr_mtu = (int)mtu;
	r = ioctl(fd, SIOCSIFMTU, &req);
	if (r == 0) {
		req.ifr_qlen = QUEUE_SIZE;
		r = ioctl(fd, SIOCSIFTXQLEN, &req);
	}
	if (r == 0)
		r = ioctl(fd, SIOCGIFFLAGS, &req);
	if (r == 0) {
		req.ifr_flags |= IFF_UP;
		r = ioctl(fd, SIOCSIFFLAGS, &req);
	}
	r = r < 0 ? -errno : 0;
	if (r < 0)
		log_err("device %s: up with MTU %u: %s", dev, mtu, strerror(-r));
	close(fd);
	return r;
}

void nat64_dev_delete(unsigned ifindex)
{
	struct net *net;
	int r = net_open(&net, NULL, NULL);

	if (r == 0)
		r = net_link_delete(net, ifindex);
	if (r < 0 && r != -ENODEV)
		log_warn("the device could not be removed: %s", strerror(-r));
	net_close(net);
}

static bool is_wanted(const struct nat64_engine_conf *conf, const struct ifreq *is)
{
	const int kind = IFF_TUN | IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE;
	int wanted = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | (conf->queues > 1 ? IFF_MULTI_QUEUE : 0);

	return strcmp(is->ifr_name, conf->dev) == 0 && (is->ifr_flags & kind) == wanted;
}

/* The queues of an earlier run: how many of them are now ours, all or none. */
static unsigned adopt(const struct nat64_engine_conf *conf, int fds[NAT64_MAX_QUEUES])
{
	struct nat64_kept *k = conf->kept;
	unsigned n = k ? k->n_queues : 0, n_wanted = 0;
	struct ifreq is = {0};

	for (unsigned i = 0; i < n; i++)
		n_wanted += ioctl(k->queues[i], TUNGETIFF, &is) == 0 && is_wanted(conf, &is);
	if (n && n == n_wanted && n == conf->queues) {
		memcpy(fds, k->queues, n * sizeof(fds[0]));
		k->n_queues = 0;
		return n;
	}
	if (is.ifr_name[0]) /* the manager, too, may still hold it */
		nat64_dev_delete(if_nametoindex(is.ifr_name));
	return 0;
}

int nat64_dev_open(
	const struct nat64_engine_conf *conf, int fds[NAT64_MAX_QUEUES], unsigned *ifindex)
{
	unsigned n = adopt(conf, fds);
	int r = 0;

	while (n < conf->queues && n < NAT64_MAX_QUEUES && r == 0) {
		r = queue_open(conf->dev, conf->queues > 1, &fds[n]);
		if (r == 0)
			n++;
	}
	if (r == 0)
		r = settings(conf->dev);
	if (r == 0)
		r = bring_up(conf->dev, conf->mtu);
	*ifindex = if_nametoindex(conf->dev);
	if (r == 0 && !*ifindex)
		r = -ENODEV;
	while (r < 0 && n)
		close(fds[--n]);
	return r;
}

/* First character of a setting; '?': there is none. */
static int setting(const char *path)
{
	FILE *f = fopen(path, "re");
	int c = f ? fgetc(f) : EOF;

	if (f)
		fclose(f);
	return c == EOF ? '?' : c;
}

void nat64_dev_check_host(void)
{
	static const struct {
		const char *path, *name, *family;
	} forwarding[] = {
		{"/proc/sys/net/ipv4/ip_forward", "net.ipv4.ip_forward", "IPv4"},
		{"/proc/sys/net/ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding", "IPv6"},
	};

	for (size_t i = 0; i < sizeof(forwarding) / sizeof(*forwarding); i++)
		if (setting(forwarding[i].path) == '0')
			log_warn("this host does not forward %s: nothing will be translated; run "
				 "`sysctl -w %s=1`",
				forwarding[i].family, forwarding[i].name);
	/* It goes before the device's own; loose mode too wants a device with an IPv4 address. */
	if (setting("/proc/sys/net/ipv4/conf/all/rp_filter") != '0')
		log_warn("net.ipv4.conf.all.rp_filter is on: this host will drop ICMP errors from "
			 "address4 and pool4; run `sysctl -w net.ipv4.conf.all.rp_filter=0` and "
			 "set it for the interfaces that need it");
}
