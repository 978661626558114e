// Command server is a Kubernetes API server with its own etcd inside: the upstream code of both, one process,
// nothing else of a cluster.
//
// It takes kube-apiserver's flags. The environment says where etcd keeps its data and where it listens
// (STRONGROOM_ETCD_DIR, STRONGROOM_ETCD_URL), and where to put a new key for the tokens of service accounts
// (STRONGROOM_SERVICE_ACCOUNT_KEY).
//
// As "server ready URL CA TOKEN" it succeeds if the server there is ready.
package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

// etcdDeadline is how long etcd may take to be ready. It starts empty, so it needs well under a second.
const etcdDeadline = 60 * time.Second

func main() {
	if len(os.Args) == 5 && os.Args[1] == "ready" {
		if err := ready(os.Args[2], os.Args[3], os.Args[4]); err != nil {
			fmt.Fprintln(os.Stderr, "not ready:", err)
			os.Exit(1)
		}
		return
	}
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	os.Exit(cli.Run(app.NewAPIServerCommand()))
}

func ready(server, ca, token string) error {
	certificates, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificates)
	client := http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
	}
	request, err := http.NewRequest(http.MethodGet, server+"/readyz", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

func prepare() error {
	if err := writeKey(os.Getenv("STRONGROOM_SERVICE_ACCOUNT_KEY")); err != nil {
		return fmt.Errorf("the key of service accounts: %w", err)
	}
	if err := startEtcd(os.Getenv("STRONGROOM_ETCD_DIR"), os.Getenv("STRONGROOM_ETCD_URL")); err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	return nil
}

func writeKey(path string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	block := pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	return os.WriteFile(path, pem.EncodeToMemory(&block), 0o600)
}

// startEtcd serves on loopback until the process ends. What it holds is for one run, so it does not wait for the disk.
func startEtcd(dir, address string) error {
	client, err := url.Parse(address)
	if err != nil {
		return err
	}
	peer, err := url.Parse("http://127.0.0.1:0")
	if err != nil {
		return err
	}
	config := embed.NewConfig()
	config.Dir = dir
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.UnsafeNoFsync = true
	config.LogLevel = "error"
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return nil
	case err := <-etcd.Err():
		return err
	case <-time.After(etcdDeadline):
		return fmt.Errorf("not ready after %s", etcdDeadline)
	}
}
