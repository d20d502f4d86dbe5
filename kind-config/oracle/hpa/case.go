// Package hpa runs the HorizontalPodAutoscaler controller on the cases that `rehearse hpa` plays.
package hpa

import (
	"encoding/json"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Case is one autoscaler and its series. The records are those of `rehearse schema hpa-series`.
type Case struct {
	HPA     json.RawMessage `json:"hpa"`
	Records []Record        `json:"records"`
}

// Record states what is so from an instant on, in seconds from the creation of the autoscaler.
type Record struct {
	At               float64         `json:"at"`
	Settings         *Settings       `json:"settings"`
	Scale            *Scale          `json:"scale"`
	Pods             *[]Pod          `json:"pods"`
	AsManyAsReplicas *Alike          `json:"asManyAsReplicas"`
	Samples          *[]Sample       `json:"samples"`
	SamplesError     *string         `json:"samplesError"`
	Custom           *[]Custom       `json:"custom"`
	External         *[]External     `json:"external"`
	Spec             json.RawMessage `json:"spec"`
	Rivals           []Rival         `json:"rivals"`
	Recommendation   *int32          `json:"recommendation"`
	Scaled           *Scaled         `json:"scaled"`
	Conditions       *[]Condition    `json:"conditions"`
}

// Settings are flags and feature gates of the controller.
type Settings struct {
	SyncPeriod              *float64        `json:"syncPeriod"`
	DownscaleStabilization  *float64        `json:"downscaleStabilization"`
	CPUInitializationPeriod *float64        `json:"cpuInitializationPeriod"`
	InitialReadinessDelay   *float64        `json:"initialReadinessDelay"`
	Tolerance               *float64        `json:"tolerance"`
	FeatureGates            map[string]bool `json:"featureGates"`
}

// Scale is the scale subresource of the target.
type Scale struct {
	Spec        *int32  `json:"spec"`
	Status      *int32  `json:"status"`
	Selector    *string `json:"selector"`
	GetError    *string `json:"getError"`
	UpdateError *string `json:"updateError"`
	Follows     *bool   `json:"follows"`
}

// Pod is one pod.
type Pod struct {
	Name           string                       `json:"name"`
	Labels         map[string]string            `json:"labels"`
	Phase          string                       `json:"phase"`
	Ready          *string                      `json:"ready"`
	ReadySince     *float64                     `json:"readySince"`
	StartTime      *float64                     `json:"startTime"`
	Deleting       bool                         `json:"deleting"`
	Containers     *[]Container                 `json:"containers"`
	InitContainers []Container                  `json:"initContainers"`
	Requests       map[string]resource.Quantity `json:"requests"`
	Overhead       map[string]resource.Quantity `json:"overhead"`
}

// Container is a container with its requests.
type Container struct {
	Name          string                       `json:"name"`
	Requests      map[string]resource.Quantity `json:"requests"`
	RestartPolicy *string                      `json:"restartPolicy"`
}

// Alike stands for as many pods as there are replicas.
type Alike struct {
	Pod        Pod                          `json:"pod"`
	TotalUsage map[string]resource.Quantity `json:"totalUsage"`
}

// Sample is what the resource metrics API says about a pod.
type Sample struct {
	Pod        string   `json:"pod"`
	Timestamp  float64  `json:"timestamp"`
	Window     *float64 `json:"window"`
	Containers []Usage  `json:"containers"`
}

// Usage is the usage of one container.
type Usage struct {
	Name  string                       `json:"name"`
	Usage map[string]resource.Quantity `json:"usage"`
}

// Custom is a custom metric.
type Custom struct {
	Metric   string                       `json:"metric"`
	Selector string                       `json:"selector"`
	Pods     map[string]resource.Quantity `json:"pods"`
	Object   *struct{ Kind, Name string } `json:"object"`
	Value    *resource.Quantity           `json:"value"`
	Error    *string                      `json:"error"`
}

// External is an external metric.
type External struct {
	Metric   string              `json:"metric"`
	Selector string              `json:"selector"`
	Values   []resource.Quantity `json:"values"`
	Error    *string             `json:"error"`
}

// Rival is another autoscaler.
type Rival struct {
	Name     string `json:"name"`
	Selector string `json:"selector"`
}

// Scaled is a change of the scale.
type Scaled struct {
	From int32 `json:"from"`
	To   int32 `json:"to"`
}

// Condition is a condition of the status, in and out.
type Condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Synced is what one sync came to.
type Synced struct {
	At         float64     `json:"at"`
	Current    int32       `json:"current"`
	Desired    int32       `json:"desired"`
	Metrics    []Metric    `json:"metrics"`
	Conditions []Condition `json:"conditions"`
}

// Metric is one of the current metrics of the status: the utilization in percent, and the value in thousandths.
type Metric struct {
	Utilization *int32 `json:"utilization,omitempty"`
	Milli       *int64 `json:"milli,omitempty"`
}

func metricsOf(status []autoscalingv2.MetricStatus) []Metric {
	metrics := make([]Metric, 0, len(status))
	for _, one := range status {
		var value autoscalingv2.MetricValueStatus
		switch {
		case one.Resource != nil:
			value = one.Resource.Current
		case one.ContainerResource != nil:
			value = one.ContainerResource.Current
		case one.Pods != nil:
			value = one.Pods.Current
		case one.Object != nil:
			value = one.Object.Current
		case one.External != nil:
			value = one.External.Current
		}
		metric := Metric{Utilization: value.AverageUtilization}
		for _, quantity := range []*resource.Quantity{value.AverageValue, value.Value} {
			if quantity != nil {
				milli := quantity.MilliValue()
				metric.Milli = &milli
			}
		}
		metrics = append(metrics, metric)
	}
	return metrics
}
