package main

import (
	"fmt"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.etcd.io/etcd/server/v3/embed"
)

// usualEtcd is an etcd outside as its own defaults have it: 128 operations at a time.
func usualEtcd(t *testing.T) string {
	t.Helper()
	dir, at := t.TempDir(), freePorts(t, 2)
	c := embed.NewConfig()
	c.Dir, c.LogLevel, c.LogOutputs = filepath.Join(dir, "etcd"), "error", []string{filepath.Join(dir, "etcd.log")}
	client, peer := url.URL{Scheme: "http", Host: at[0]}, url.URL{Scheme: "http", Host: at[1]}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	server, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	<-server.Server.ReadyNotify()
	return client.String()
}

// TestAnEtcdThatTakesLittleAtATime: a broker that was alone and has more than that becomes the first node; exclusive queues go with
// their connection, and a queue with its bindings, however many they are.
func TestAnEtcdThatTakesLittleAtATime(t *testing.T) {
	const many = 300
	etcd, dir := usualEtcd(t), t.TempDir()
	node := func(name string, more ...string) *process {
		return run(t, dir, append([]string{"--node-name", name, "--data-dir", filepath.Join(dir, name), "--metrics-listen", ""}, more...)...)
	}
	clustered := []string{"--cluster-insecure", "--cluster-listen", "127.0.0.1:0", "--cluster-lease", "3s", "--etcd-endpoints", etcd}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	alone := node("n1")
	ch := alone.channel()
	for i := range many {
		_, err := ch.QueueDeclare(fmt.Sprint("q", i), true, false, false, false, nil)
		must(err)
	}
	alone.stop()
	a, b := node("n1", clustered...), node("n2", clustered...)
	there := func(name string) bool {
		conn := b.dial()
		defer conn.Close()
		ch, err := conn.Channel()
		must(err)
		_, err = ch.QueueDeclarePassive(name, true, false, false, false, nil)
		return err == nil
	}
	if !there("q0") || !there(fmt.Sprint("q", many-1)) {
		t.Fatal("what it had is not there")
	}
	conn := a.dial()
	ch, err := conn.Channel()
	must(err)
	for i := range many {
		_, err := ch.QueueDeclare(fmt.Sprint("mine", i), false, false, true, false, nil)
		must(err)
		must(ch.QueueBind("q0", fmt.Sprint("k", i), "amq.direct", false, nil))
	}
	must(conn.Close())
	for _, i := range []int{0, many - 1} {
		if name := fmt.Sprint("mine", i); there(name) {
			t.Errorf("%s is there, and its connection is not", name)
		}
	}
	_, err = a.channel().QueueDelete("q0", false, false, false)
	must(err)
	second := b.channel()
	_, err = second.QueueDeclare("q0", true, false, false, false, nil)
	must(err)
	a.stop()
	again := node("n1", clustered...).channel() // which reads it all anew
	for _, ch := range []*amqp.Channel{second, again} {
		returned := ch.NotifyReturn(make(chan amqp.Return, 1))
		for _, i := range []int{0, many - 1} {
			must(ch.Publish("amq.direct", fmt.Sprint("k", i), true, false, amqp.Publishing{}))
			select {
			case <-returned:
			case <-time.After(clusterPatience):
				t.Errorf("a binding of a queue that was deleted, k%d, leads somewhere", i)
			}
		}
	}
}
