"""The networks that TRUSTED_PROXIES lists."""

from ipaddress import IPv4Network, IPv6Network, ip_network

type Network = IPv4Network | IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")


def read_network(text: str) -> Network:
    """An address or a network, as 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32; raises ValueError with the remedy.

    IPv4 in the form of IPv6 (RFC 4291 §2.5.5.2) counts as IPv4.
    """
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        network = None
    if text == "*" or (network is not None and network.prefixlen == 0):
        raise ValueError(
            f"has {text!r}: then everybody could claim any address. List the proxies alone; where they have "
            "no fixed addresses, their private networks, such as 10.0.0.0/8."
        )
    if network is None:
        raise ValueError(
            f"has {text[:60]!r}, which is no address and no network. Write them like 192.0.2.7, 10.0.0.0/8 "
            "or 2001:db8::/32; names of hosts do not count."
        )
    if "/" in text and str(network.network_address) != _spelling(text.partition("/")[0]):
        raise ValueError(f"has {text!r}, with bits of a host in it. Write the network as {network}.")
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = network.network_address.ipv4_mapped
        return IPv4Network(f"{mapped}/{network.prefixlen - 96}")
    return network


def _spelling(address: str) -> str:
    return str(ip_network(address).network_address)
