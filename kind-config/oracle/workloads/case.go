// Package workloads runs the Deployment, ReplicaSet and disruption controllers together, over one small API server,
// while pods start, fail and end as a case says.
package workloads

import "encoding/json"

// Case is one Deployment, its budgets, the fates of its pods, and what people do to it.
type Case struct {
	// Deployment is its spec, complete: nothing is defaulted here.
	Deployment json.RawMessage `json:"deployment"`
	// Budgets are specs of PodDisruptionBudgets, by name.
	Budgets map[string]json.RawMessage `json:"budgets"`
	// Templates holds, for each template, what becomes of its pods: the n-th pod of all takes the n-th fate, over and
	// over.
	Templates [][]Fate `json:"templates"`
	// UIDs decide between equal pods, in order of creation.
	UIDs    []string `json:"uids"`
	Actions []Action `json:"actions"`
	// Quota is the number of pods there may be; none if missing.
	Quota *int `json:"quota"`
	// Until is the end, and Every the distance of the instants at which the state is told.
	Until int64 `json:"until"`
	Every int64 `json:"every"`
}

// Fate is what becomes of a pod, in milliseconds from its creation.
type Fate struct {
	// Starts is when its containers run; nil: never.
	Starts *int64 `json:"starts"`
	// Ready is when its readiness changes: to true first, then to false, and so on.
	Ready []int64 `json:"ready"`
	// Restarts is when its container runs again.
	Restarts []int64 `json:"restarts"`
	// Ends is how long it takes to end once it is told to.
	Ends int64 `json:"ends"`
}

// Action is what somebody does, at a millisecond from the creation of the Deployment.
type Action struct {
	At       int64           `json:"at"`
	Scale    *int32          `json:"scale"`
	Template *int            `json:"template"`
	Rollback *int64          `json:"rollback"`
	Spec     json.RawMessage `json:"spec"`
	Delete   *int            `json:"delete"`
}

// State is what is so at an instant at which all controllers are at rest. Only states that differ from the one before
// are told.
type State struct {
	At         int64             `json:"at"`
	Sets       []Set             `json:"sets"`
	Status     Status            `json:"status"`
	Conditions []Condition       `json:"conditions"`
	Pods       []int             `json:"pods"`
	Budgets    map[string]Budget `json:"budgets"`
}

// Set is a ReplicaSet, in order of creation.
type Set struct {
	Template  int   `json:"template"`
	Revision  int64 `json:"revision"`
	Spec      int32 `json:"spec"`
	Replicas  int32 `json:"replicas"`
	Ready     int32 `json:"ready"`
	Available int32 `json:"available"`
}

// Status has the counts of a Deployment.
type Status struct {
	Replicas    int32 `json:"replicas"`
	Updated     int32 `json:"updated"`
	Ready       int32 `json:"ready"`
	Available   int32 `json:"available"`
	Unavailable int32 `json:"unavailable"`
}

// Condition is a condition of a Deployment. Its ReplicaSets are called web-N, N being their template.
type Condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Budget is the status of a PodDisruptionBudget.
type Budget struct {
	Expected int32  `json:"expected"`
	Desired  int32  `json:"desired"`
	Healthy  int32  `json:"healthy"`
	Allowed  int32  `json:"allowed"`
	Reason   string `json:"reason"`
}
