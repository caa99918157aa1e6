#!/bin/bash
# Ours and NRL's NORM, each on a host of its own, in network namespaces that end with this script.
# It needs root, iproute2, g++ and Debian's libnorm-dev. Exit code 0 if all deliveries are exact.
#
#   cargo build -p manycast-interop-norm && interop/norm/run.sh target/debug/norm-peer
set -u
peer=$(realpath "${1:?the path of norm-peer}")
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d)
a=norm-a-$$
b=norm-b-$$
trap 'ip netns del $a; ip netns del $b; rm -rf "$work"' EXIT
g++ -O1 "$here/nrl.cc" -o "$work/nrl" -lnorm || exit 2
ip netns add $a && ip netns add $b || exit 2
ip link add eth0 netns $a type veth peer name eth0 netns $b
n=1
for host in $a $b; do
    ip -n $host link set lo up
    ip -n $host addr add 10.77.0.$n/24 brd + dev eth0
    ip -n $host link set eth0 up
    ip -n $host route add 224.0.0.0/4 dev eth0
    n=$((n + 1))
done
head -c "${SIZE:-5000000}" /dev/urandom >"$work/sent"
failed=0

# Names what is tried, and says whether both ends were content and the bytes are the same.
check() {
    if [ "$2" = 0 ] && [ "$3" = 0 ] && cmp -s "$work/sent" "$work/came"; then
        echo "ok     $1 ($(tail -1 "$work/time"))"
    else
        echo "FAILED $1 (sender $2, receiver $3)"
        tail -n 3 "$work/sender" "$work/receiver"
        failed=1
    fi
    rm -f "$work/came"
}

run() {
    name=$1
    receiver=$2
    sender=$3
    ip netns exec $b timeout -k 1 35 $receiver >"$work/receiver" 2>&1 &
    pid=$!
    sleep 0.5
    begin=$(date +%s.%N)
    ip netns exec $a timeout -k 1 35 $sender >"$work/sender" 2>&1
    sent=$?
    echo "$(date +%s.%N) $begin" | awk '{printf "%.2f s\n", $1 - $2}' >"$work/time"
    wait $pid
    check "$name" $sent $?
}

# What a dissector of others thinks of both, where there is one.
if command -v tshark >/dev/null; then
    ip netns exec $b tshark -i eth0 -w "$work/capture" -f 'udp' >"$work/tshark" 2>&1 &
    tshark=$!
    sleep 2
fi

for loss in ${LOSSES:-0 1 10}; do
    for parity in 0 16; do
        run "ours to NRL's, $loss % loss, $parity parity" \
            "$work/nrl receive 239.5.5.5 6003 eth0 2 $work/came $loss" \
            "env PARITY=$parity $peer send 239.5.5.5:6003 1 $work/sent 2"
        run "NRL's to ours, $loss % loss, $parity parity" \
            "$peer receive 239.5.5.5:6003 2 $work/came" \
            "$work/nrl send 239.5.5.5 6003 eth0 1 $work/sent 2 $parity $loss"
    done
    run "a stream, ours to NRL's, $loss % loss" \
        "$work/nrl receive-stream 239.5.5.5 6003 eth0 2 $work/came $loss" \
        "$peer send-stream 239.5.5.5:6003 1 $work/sent 2"
    run "a stream, NRL's to ours, $loss % loss" \
        "$peer receive-stream 239.5.5.5:6003 2 $work/came" \
        "$work/nrl send-stream 239.5.5.5 6003 eth0 1 $work/sent 2 16 $loss"
done
if [ -n "${tshark:-}" ]; then
    kill $tshark
    wait $tshark 2>/dev/null
    # The dissector takes the FEC instance of FEC Encoding ID 129 for granted, and warns of it in
    # vain; what counts is what it cannot read at all. The segments of streams it cannot, whoever
    # sends them: NRL's it calls malformed to the last.
    count() {
        tshark -r "$work/capture" -d udp.port==6003,norm --enable-protocol norm -Y "$1" 2>/dev/null | wc -l
    }
    all=$(count norm)
    malformed=$(count '_ws.malformed and not norm.flag.stream == 1')
    echo "tshark: $all messages of NORM, $malformed malformed"
    if [ "$all" = 0 ] || [ "$malformed" != 0 ]; then
        failed=1
    fi
fi
exit $failed
