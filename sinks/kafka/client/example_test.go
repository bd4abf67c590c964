package client_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/virtcast/virtcast/sinks/kafka/client"
)

// A cluster is asked for a topic, and knows who leads its partitions.
func ExampleCluster_Open() {
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "virt.events"))
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()

	cluster := client.New(client.Config{
		Brokers: fake.ListenAddrs(), ConnectTimeout: 5 * time.Second, AckTimeout: 5 * time.Second,
	}, client.Options{})
	defer cluster.Close()
	topic, err := cluster.Open(context.Background(), "virt.events")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(topic.Name, "has the leaders", topic.Leaders)
	// Output: virt.events has the leaders [0 0 0]
}

// Explain makes one line of a failure, with the cure.
func ExampleConfig_Explain() {
	cfg := client.Config{Brokers: []string{"kafka1:9092"}, SASL: client.SASL{Username: "virtcast"}}
	err := &client.CodeError{Code: 29, What: "topic virt.events"}
	fmt.Println(cfg.Explain(context.Background(), err))
	// Output: kafka kafka1:9092: topic virt.events: TOPIC_AUTHORIZATION_FAILED: an access rule is missing; allow user "virtcast" Describe and Write on the topic (kafka-acls.sh --add --allow-principal User:virtcast --producer --topic …)
}
