// Reads Kubernetes objects as YAML documents and decodes each as strictly as an API server does with
// fieldValidation=Strict: a field that its type does not have, or has of another type, is an error. Kinds that Kubernetes
// itself does not have are counted. check-deploy.mjs runs it.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
)

func main() {
	options := json.SerializerOptions{Yaml: true, Strict: true}
	decoder := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, options)
	documents := yaml.NewYAMLReader(bufio.NewReader(os.Stdin))
	known, unknown, wrong := 0, 0, 0
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		_, kind, err := decoder.Decode(document, nil, nil)
		switch {
		case runtime.IsMissingKind(err) && len(document) < 3:
		case runtime.IsNotRegisteredError(err):
			unknown++
		case err != nil:
			fmt.Fprintf(os.Stderr, "%v: %v\n", kind, err)
			wrong++
		default:
			known++
		}
	}
	fmt.Printf("%d objects of Kubernetes, %d of others\n", known, unknown)
	if wrong > 0 || known == 0 {
		os.Exit(1)
	}
}
