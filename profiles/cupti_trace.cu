/*
 * Times of the steps of a graph, from CUPTI's activity records of its nodes. A step is told by the
 * nodes that it adds during capture; an executable graph has clones of them, of which a callback
 * tells. CUPTI stays in the process from the first profile on, and kernels of a graph start later
 * from then on: whatever is timed must be timed before.
 */
#include <cuda_runtime.h>
#include <pthread.h>
#include <search.h>
#include <stdlib.h>

#include "harness/timing.h"
#include "kernels/cuda/check.cuh"
#include "profiles/cupti.h"
#include "profiles/cupti_api.h"
#include "profiles/timeline.h"

enum { BUFFER_BYTES = 1 << 20 };
static const double WARM_S =
    0.3; /* as long at least as timing does: clock and power have settled */

typedef struct {
    uint64_t start_ns, end_ns; /* 0: it has not run */
} interval_t;

/* A node of a graph, or its clone in an executable one. */
typedef struct {
    uint64_t id;
    int step;
    interval_t ran[]; /* when it did last: trace.passes of them, by their start in the end */
} node_t;

/* CUPTI calls back from a thread of its own, and has no argument for it. */
static struct {
    const cupti_api_t *api;
    pthread_mutex_t lock;
    void *nodes; /* tsearch tree of node_t */
    int passes;
    size_t dropped;
    bool out_of_memory;
} trace = {.lock = PTHREAD_MUTEX_INITIALIZER};

static status_t cupti_fail(CUptiResult result, const char *call) {
    const char *name = NULL;
    trace.api->GetResultString(result, &name);
    if (result == CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED)
        return fail(STATUS_ENVIRONMENT, "another profiler is attached (ncu, nsys, a tracing tool): "
                                        "run without it");
    return fail(STATUS_ENVIRONMENT, "CUPTI does not trace here: %s: %s (%d)", call,
                name ? name : "unknown error", (int)result);
}

#define CUPTI_TRY(function, ...)                                                                   \
    do {                                                                                           \
        const CUptiResult result_ = trace.api->function(__VA_ARGS__);                              \
        if (result_ != CUPTI_SUCCESS) return cupti_fail(result_, "cupti" #function);               \
    } while (0)

/* ---- nodes ---- */

/* Of nodes: their first member is the id. */
static int by_id(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static node_t *find_node(uint64_t id) {
    node_t **const found = (node_t **)tfind(&id, &trace.nodes, by_id);
    return found ? *found : NULL;
}

static void add_node(uint64_t id, int step) {
    node_t *const node =
        (node_t *)calloc(1, sizeof *node + (size_t)trace.passes * sizeof *node->ran);
    if (node) {
        node->id = id;
        node->step = step;
    }
    if (node && tsearch(node, &trace.nodes, by_id)) return;
    free(node);
    trace.out_of_memory = true;
}

static void forget_nodes(int passes) {
    tdestroy(trace.nodes, free);
    trace.nodes = NULL;
    trace.passes = passes;
    trace.dropped = 0;
    trace.out_of_memory = false;
}

/* Runs in the thread that instantiates the graph. */
static void CUPTIAPI node_cloned(void *, CUpti_CallbackDomain domain, CUpti_CallbackId id,
                                 const void *data) {
    uint64_t from = 0, to = 0;
    if (domain != CUPTI_CB_DOMAIN_RESOURCE || id != CUPTI_CBID_RESOURCE_GRAPHNODE_CLONED) return;
    const CUpti_GraphData *const graph =
        (const CUpti_GraphData *)((const CUpti_ResourceData *)data)->resourceDescriptor;
    if (trace.api->GetGraphNodeId(graph->originalNode, &from) != CUPTI_SUCCESS ||
        trace.api->GetGraphNodeId(graph->node, &to) != CUPTI_SUCCESS)
        return;
    pthread_mutex_lock(&trace.lock);
    const node_t *const original = find_node(from);
    if (original && !find_node(to)) add_node(to, original->step);
    pthread_mutex_unlock(&trace.lock);
}

/* The nodes that capture has added since the last call are those of `step`. */
static status_t name_nodes(cudaStream_t stream, int step) {
    cudaStreamCaptureStatus status;
    cudaGraph_t graph = NULL;
    size_t count = 0;
    CUDA(cudaStreamGetCaptureInfo(stream, &status, NULL, &graph));
    if (status != cudaStreamCaptureStatusActive)
        return fail(STATUS_ENVIRONMENT, "steps are told apart while they are captured only");
    CUDA(cudaGraphGetNodes(graph, NULL, &count));
    cudaGraphNode_t *const nodes = (cudaGraphNode_t *)calloc(count + 1, sizeof *nodes);
    if (!nodes) return fail(STATUS_OOM, "out of host memory for a profile");
    const cudaError_t error = cudaGraphGetNodes(graph, nodes, &count);
    CUptiResult result = CUPTI_SUCCESS;
    pthread_mutex_lock(&trace.lock);
    for (size_t i = 0; i < count && error == cudaSuccess && result == CUPTI_SUCCESS; i++) {
        uint64_t id = 0;
        result = trace.api->GetGraphNodeId(nodes[i], &id);
        if (result == CUPTI_SUCCESS && !find_node(id)) add_node(id, step);
    }
    pthread_mutex_unlock(&trace.lock);
    free(nodes);
    CUDA(error);
    return result == CUPTI_SUCCESS ? STATUS_OK : cupti_fail(result, "cuptiGetGraphNodeId");
}

/* ---- records ---- */

static void CUPTIAPI give_buffer(uint8_t **buffer, size_t *size, size_t *most_records) {
    *buffer = (uint8_t *)aligned_alloc(8, BUFFER_BYTES);
    *size = *buffer ? BUFFER_BYTES : 0;
    *most_records = 0;
}

/* Takes the place of the earliest time of its node, if it is later. */
static void node_ran(uint64_t id, uint64_t start_ns, uint64_t end_ns) {
    node_t *const node = find_node(id);
    if (!node || end_ns == 0) return;
    interval_t *earliest = &node->ran[0];
    for (int k = 1; k < trace.passes; k++)
        if (node->ran[k].start_ns < earliest->start_ns) earliest = &node->ran[k];
    if (start_ns > earliest->start_ns) *earliest = {start_ns, end_ns};
}

/* Records of the oldest CUPTI that is supported: later ones only add to their end. */
static void read_record(const CUpti_Activity *record) {
    if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
        const auto *r = (const CUpti_ActivityKernel9 *)record;
        node_ran(r->graphNodeId, r->start, r->end);
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
        const auto *r = (const CUpti_ActivityMemcpy5 *)record;
        node_ran(r->graphNodeId, r->start, r->end);
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMSET) {
        const auto *r = (const CUpti_ActivityMemset4 *)record;
        node_ran(r->graphNodeId, r->start, r->end);
    }
}

static void CUPTIAPI take_buffer(CUcontext context, uint32_t stream, uint8_t *buffer, size_t,
                                 size_t valid) {
    CUpti_Activity *record = NULL;
    size_t dropped = 0;
    pthread_mutex_lock(&trace.lock);
    while (valid > 0 && trace.api->ActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS)
        read_record(record);
    if (trace.api->ActivityGetNumDroppedRecords(context, stream, &dropped) == CUPTI_SUCCESS)
        trace.dropped += dropped;
    pthread_mutex_unlock(&trace.lock);
    free(buffer);
}

/* ---- a profile ---- */

static status_t attach(void) {
    static CUpti_SubscriberHandle subscriber;
    static const CUpti_ActivityKind kinds[] = {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,
                                               CUPTI_ACTIVITY_KIND_MEMCPY,
                                               CUPTI_ACTIVITY_KIND_MEMSET};
    const char *why;
    if (subscriber) return STATUS_OK;
    trace.api = cupti_api(&why);
    if (!trace.api) return fail(STATUS_ENVIRONMENT, "%s", why);
    CUPTI_TRY(Subscribe, &subscriber, node_cloned, NULL);
    CUPTI_TRY(EnableCallback, 1, subscriber, CUPTI_CB_DOMAIN_RESOURCE,
              CUPTI_CBID_RESOURCE_GRAPHNODE_CLONED);
    CUPTI_TRY(ActivityRegisterCallbacks, give_buffer, take_buffer);
    for (const CUpti_ActivityKind kind : kinds) CUPTI_TRY(ActivityEnable, kind);
    return STATUS_OK;
}

typedef struct {
    work_t work;
    void *arg;
    int steps;
} pass_t;

/* Work of the device: one whole pass. Nodes that the recording itself adds belong to no step. */
static status_t capture_pass(void *arg, int, stream_t stream) {
    const pass_t *const pass = (const pass_t *)arg;
    status_t st = name_nodes((cudaStream_t)stream, -1);
    for (int i = 0; i < pass->steps && st == STATUS_OK; i++) {
        st = pass->work(pass->arg, i, stream);
        if (st == STATUS_OK) st = name_nodes((cudaStream_t)stream, i);
    }
    return st;
}

static status_t replay(device_t *device, recording_t *recording) {
    const double start_s = now_s();
    int replays = 0;
    double us;
    do {
        const status_t st = device->ops->replay(device, recording, &us);
        if (st != STATUS_OK) return st;
    } while (++replays < 2 * trace.passes || now_s() - start_s < WARM_S);
    CUPTI_TRY(ActivityFlushAll, CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
    return STATUS_OK;
}

static int by_start(const void *a, const void *b) {
    const uint64_t x = ((const interval_t *)a)->start_ns, y = ((const interval_t *)b)->start_ns;
    return (x > y) - (x < y);
}

/* The nodes of one pass that ran. */
typedef struct {
    int pass, len;
    activity_t *activities; /* NULL: they are counted only */
} collection_t;

static void collect_node(const void *item, VISIT visit, void *closure) {
    node_t *const node = *(node_t *const *)item;
    collection_t *const c = (collection_t *)closure;
    if ((visit != postorder && visit != leaf) || node->step < 0) return;
    if (!c->activities) qsort(node->ran, (size_t)trace.passes, sizeof *node->ran, by_start);
    const interval_t *const ran = &node->ran[c->pass];
    if (ran->end_ns == 0) return;
    if (c->activities) c->activities[c->len] = {ran->start_ns, ran->end_ns, node->step};
    c->len++;
}

static status_t share(int pass, int steps, int kernels, double *us) {
    collection_t c = {.pass = pass};
    twalk_r(trace.nodes, collect_node, &c);
    if (trace.out_of_memory) return fail(STATUS_OOM, "out of host memory for a profile");
    if (c.len < kernels || trace.dropped > 0)
        return fail(STATUS_ENVIRONMENT, "CUPTI told of %d nodes of a pass with %d kernels", c.len,
                    kernels);
    c.activities = (activity_t *)calloc((size_t)c.len + 1, sizeof *c.activities);
    if (!c.activities) return fail(STATUS_OOM, "out of host memory for a profile");
    c.len = 0;
    twalk_r(trace.nodes, collect_node, &c);
    timeline_share(c.activities, c.len, steps, us);
    free(c.activities);
    return STATUS_OK;
}

static void forget(int passes) {
    pthread_mutex_lock(&trace.lock);
    forget_nodes(passes);
    pthread_mutex_unlock(&trace.lock);
}

status_t cupti_profile(device_t *device, work_t work, void *arg, int steps, int passes,
                       double *us) {
    pass_t pass = {work, arg, steps};
    recording_t *recording = NULL;
    forget(passes);
    status_t st = attach();
    if (st == STATUS_OK)
        st = device->ops->record(device, capture_pass, &pass, 1, false, &recording);
    if (st == STATUS_OK) st = replay(device, recording);
    for (int k = 0; k < passes && st == STATUS_OK; k++)
        st = share(k, steps, device->ops->kernels(recording), us + (size_t)k * (size_t)steps);
    if (recording) device->ops->discard(recording);
    forget(0);
    return st;
}
