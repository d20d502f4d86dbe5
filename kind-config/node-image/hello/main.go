// Command hello is what ./check runs in its pods. `hello` answers every request with the pod's name; `hello URL` asks
// somebody else and prints the answer.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	if len(os.Args) == 1 {
		pod, err := os.Hostname()
		if err != nil {
			log.Fatal(err)
		}
		http.HandleFunc("/", func(answer http.ResponseWriter, _ *http.Request) { fmt.Fprintln(answer, pod) })
		log.Fatal(http.ListenAndServe(":8080", nil))
	}
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		log.Fatal(answer.Status)
	}
	if _, err := io.Copy(os.Stdout, answer.Body); err != nil {
		log.Fatal(err)
	}
}
