#!/bin/sh
# The first program in the virtual machine: it lays an empty file system over the host's files, runs
# the command in /shared there, and switches the machine off.
mount -t proc proc /proc
mount -t devtmpfs dev /dev
while read -r module options; do
    # shellcheck disable=SC2086  # options are words
    insmod "/modules/$module" $options || echo "the kernel does not take $module"
done </modules/list
ifconfig lo 127.0.0.1 up

options=trans=virtio,version=9p2000.L,msize=524288
mount -t 9p -o "$options,ro,cache=loose" host /host
mount -t tmpfs memory /new
mkdir /new/up /new/work
mount -t overlay -o lowerdir=/host,upperdir=/new/up,workdir=/new/work overlay /root

mount -t proc proc /root/proc
mount -t sysfs sys /root/sys
mount -t devtmpfs dev /root/dev
for each in run tmp var/lib/bluetooth; do
    mkdir -p "/root/$each"
    mount -t tmpfs memory "/root/$each"
done
mkdir -p /root/dev/shm /root/shared
mount -t tmpfs memory /root/dev/shm
mount -t 9p -o "$options,rw" shared /root/shared
# A project below one of these folders is there still.
project=$(cat /root/shared/cwd)
mkdir -p "/root$project"
mount -o bind "/host$project" "/root$project"

chroot /root /bin/sh /shared/command
poweroff -f
