"""The hosts as network namespaces, and what is between them."""
import os
import subprocess

PUBLIC = "203.0.113.1"
PREFIX = f"clasp-{os.getpid()}-"


def sh(command):
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.strip()}")


def no_room(host):
    """How many datagrams the UDP sockets of a host have had no room for."""
    counters = subprocess.check_output(["ip", "netns", "exec", PREFIX + host, "grep", "^Udp:", "/proc/net/snmp"], text=True).splitlines()
    names, figures = (line.split() for line in counters)
    return int(figures[names.index("RcvbufErrors")])


class Hosts:
    """Namespaces that are there while they are used."""

    HOSTS = ()

    def __enter__(self):
        for host in self.HOSTS:
            sh(f"ip netns add {PREFIX}{host}")
            sh(f"ip -n {PREFIX}{host} link set lo up")
        self.connect()
        return self

    def __exit__(self, *_):
        for host in self.HOSTS:
            # What a browser's driver started outlives it, and the namespace would go on existing.
            subprocess.run(f"ip netns pids {PREFIX}{host} | xargs -r kill -9", shell=True, capture_output=True)
            subprocess.run(f"ip netns del {PREFIX}{host}", shell=True, capture_output=True)

    def on(self, host, command):
        sh(f"ip netns exec {PREFIX}{host} {command}")

    def bridge(self, host, address):
        """A bridge called wire, on which the host itself has an address."""
        sh(f"ip -n {PREFIX}{host} link add wire type bridge")
        sh(f"ip -n {PREFIX}{host} addr add {address}/24 dev wire")
        sh(f"ip -n {PREFIX}{host} link set wire up")


class Network(Hosts):
    """A hub that routes between the subnets of the hosts a and b, and holds the router's address."""

    ROUTER = ("hub", "10.77.0.1")
    HOSTS = ("hub", "a", "b")

    def connect(self):
        sh(f"ip -n {PREFIX}hub addr add 10.77.0.1/32 dev lo")
        self.on("hub", "sysctl -qw net.ipv4.ip_forward=1")
        for host, net in (("a", 1), ("b", 2)):
            sh(f"ip -n {PREFIX}hub link add to-{host} type veth peer name eth0 netns {PREFIX}{host}")
            sh(f"ip -n {PREFIX}hub link set to-{host} up")
            sh(f"ip -n {PREFIX}{host} link set eth0 up")
            self.join(host, net)

    def join(self, host, net):
        sh(f"ip -n {PREFIX}hub addr add 10.77.{net}.1/24 dev to-{host}")
        sh(f"ip -n {PREFIX}{host} addr add 10.77.{net}.2/24 dev eth0")
        sh(f"ip -n {PREFIX}{host} route add default via 10.77.{net}.1")

    def leave(self, host, net):
        sh(f"ip -n {PREFIX}{host} addr del 10.77.{net}.2/24 dev eth0")
        sh(f"ip -n {PREFIX}hub addr del 10.77.{net}.1/24 dev to-{host}")

    def move(self, host, old, new):
        self.leave(host, old)
        self.join(host, new)


class Nats(Hosts):
    """The hosts x and y, each behind its own NAT; the router and a TURN server on the public network between them."""

    ROUTER = ("public", PUBLIC)
    HOSTS = ("public", "nat-x", "nat-y", "x", "y")

    def connect(self):
        self.bridge("public", PUBLIC)
        # As on the Internet, what is sent to private addresses vanishes.
        sh(f"ip -n {PREFIX}public link add void type veth peer name abyss")
        sh(f"ip -n {PREFIX}public link set abyss up")
        sh(f"ip -n {PREFIX}public link set void arp off up")
        sh(f"ip -n {PREFIX}public route add default dev void")
        for number, host in ((1, "x"), (2, "y")):
            nat, public, private = f"{PREFIX}nat-{host}", f"203.0.113.{10 + number}", f"10.78.{number}"
            sh(f"ip -n {PREFIX}public link add to-{host} type veth peer name outside netns {nat}")
            sh(f"ip -n {PREFIX}public link set to-{host} master wire up")
            sh(f"ip -n {nat} addr add {public}/24 dev outside")
            sh(f"ip -n {nat} link set outside up")
            sh(f"ip -n {nat} link add inside type veth peer name eth0 netns {PREFIX}{host}")
            sh(f"ip -n {nat} addr add {private}.1/24 dev inside")
            sh(f"ip -n {nat} link set inside up")
            sh(f"ip -n {PREFIX}{host} addr add {private}.2/24 dev eth0")
            sh(f"ip -n {PREFIX}{host} link set eth0 up")
            sh(f"ip -n {PREFIX}{host} route add default via {private}.1")
            self.on(f"nat-{host}", "sysctl -qw net.ipv4.ip_forward=1")

    def translate(self, of_x, of_y, forwarded=None, never="ct state invalid"):
        """Sets both NATs up anew. As every router for homes does, they drop what nobody inside has asked for, but for what is sent to
        the UDP port that y's forwards; and they let nothing pass that matches `never`."""
        to_y = f"udp dport {forwarded} dnat to 10.78.2.2;" if forwarded else ""
        for host, how, to_host in (("x", of_x, ""), ("y", of_y, to_y)):
            rules = f"""
                flush ruleset
                table ip nat {{
                    chain into {{ type nat hook prerouting priority dstnat; iifname outside jump forwarded; }}
                    chain forwarded {{ {to_host} }}
                    chain out {{ type nat hook postrouting priority srcnat; oifname outside {how}; }}
                }}
                table ip guard {{
                    chain unasked {{ ct status dnat accept; ct state new,invalid drop; }}
                    chain to_us {{ type filter hook input priority 0; iifname outside jump unasked; }}
                    chain through {{ type filter hook forward priority 0; {never} drop; iifname outside jump unasked; }}
                }}"""
            command = ["ip", "netns", "exec", f"{PREFIX}nat-{host}", "nft", "-f", "-"]
            subprocess.run(command, input=rules, text=True, check=True)


class Link(Hosts):
    """The hosts left and right on one cable, with IPv6 link-local addresses that nobody gave them; and with IPv4 addresses, so that they
    reach the router, which is beside them on a third host."""

    ROUTER = ("switch", "10.79.0.1")
    HOSTS = ("switch", "left", "right")
    NUMBERS = {"left": 2, "right": 3}

    def connect(self):
        self.bridge("switch", "10.79.0.1")
        for host, number in self.NUMBERS.items():
            sh(f"ip -n {PREFIX}switch link add to-{host} type veth peer name eth0 netns {PREFIX}{host}")
            sh(f"ip -n {PREFIX}switch link set to-{host} master wire up")
            sh(f"ip -n {PREFIX}{host} link set eth0 addrgenmode none up")
            sh(f"ip -n {PREFIX}{host} addr add 10.79.0.{number}/24 dev eth0")
            sh(f"ip -n {PREFIX}{host} addr add fe80::1:{number}/64 dev eth0 nodad")

    def allow_udp_over_ipv4(self, allowed):
        rule = "" if allowed else "meta l4proto udp drop;"
        rules = f"flush ruleset; table ip guard {{ chain out {{ type filter hook output priority 0; {rule} }}; }}"
        for host in self.NUMBERS:
            subprocess.run(["ip", "netns", "exec", PREFIX + host, "nft", "-f", "-"], input=rules, text=True, check=True)


class Home(Hosts):
    """Three devices on one switch, as they come out of the box: nobody has told them of a router, or of each other."""

    ROUTER = ("switch", "10.80.0.1")
    HOSTS = ("switch", "kitchen", "garden", "neighbour")
    NUMBERS = {"kitchen": 2, "garden": 3, "neighbour": 4}

    def connect(self):
        self.net = 0
        self.bridge("switch", "10.80.0.1")
        for host, number in self.NUMBERS.items():
            sh(f"ip -n {PREFIX}switch link add to-{host} type veth peer name eth0 netns {PREFIX}{host}")
            sh(f"ip -n {PREFIX}switch link set to-{host} master wire up")
            sh(f"ip -n {PREFIX}{host} link set eth0 addrgenmode none up")
            sh(f"ip -n {PREFIX}{host} addr add fe80::80:{number}/64 dev eth0 nodad")
            self.join(host)

    def address(self, host):
        return f"10.80.{self.net}.{self.NUMBERS[host]}"

    def join(self, host):
        sh(f"ip -n {PREFIX}{host} addr add {self.address(host)}/24 broadcast + dev eth0")

    def renumber(self, net):
        """Everybody gets another address at once."""
        for host in self.NUMBERS:
            sh(f"ip -n {PREFIX}{host} addr del {self.address(host)}/24 dev eth0")
        self.net = net
        for host in self.NUMBERS:
            self.join(host)

    def allow(self, **allowed):
        """Whether `multicast` and `broadcast` leave and reach the devices."""
        ip4 = "" if allowed.get("multicast", True) else "ip daddr 224.0.0.0/4 drop;"
        ip6 = "" if allowed.get("multicast", True) else "ip6 daddr ff02::fb drop;"
        every = "" if allowed.get("broadcast", True) else "udp dport 7331 drop;"
        rule = f"type filter hook {{}} priority 0; {ip4} {ip6} {every}"
        chains = "".join(f"chain {hook} {{ {rule.format(hook)} }}\n" for hook in ("input", "output"))
        for host in self.NUMBERS:
            rules = f"flush ruleset; table inet test {{\n{chains}}}\n"
            subprocess.run(["ip", "netns", "exec", PREFIX + host, "nft", "-f", "-"], input=rules, text=True, check=True)
