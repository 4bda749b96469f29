/* Prototypes, constants and struct layouts after the NVML API reference (NVIDIA, release 580). */
#include "harness/nvml.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "results/throttle.h"

enum { CLOCK_SM = 1, CLOCK_MEMORY = 2, TEMPERATURE_GPU = 0, FIELD_POWER_INSTANT = 186 };
enum { VALUE_DOUBLE = 0, MAX_PROCESSES = 64 };

/* nvmlFieldValue_t */
typedef struct {
    unsigned field, scope;
    long long timestamp_us, latency_us;
    int value_type, result;
    union {
        double real;
        unsigned uint;
        unsigned long long ull;
    } value;
} field_value_t;

/* nvmlProcessInfo_t of nvmlDeviceGetComputeRunningProcesses_v3 */
typedef struct {
    unsigned pid;
    unsigned long long memory_bytes;
    unsigned gpu_instance, compute_instance;
} process_t;

typedef const nvml_gpu_t *gpu_t;
typedef int (*uint_reading_t)(gpu_t, unsigned *);
typedef int (*clock_reading_t)(gpu_t, int type, unsigned *mhz);
typedef int (*reasons_reading_t)(gpu_t, unsigned long long *);

/* Every function that is used; all return 0 on success. NULL where the driver lacks it. */
static struct {
    bool tried, ready;
    int (*init)(void);
    int (*system_driver)(char *, unsigned);
    int (*by_pci)(const char *, gpu_t *);
    int (*by_uuid)(const char *, gpu_t *);
    int (*mig)(gpu_t, unsigned *current, unsigned *pending);
    int (*temperature)(gpu_t, int sensor, unsigned *);
    int (*fields)(gpu_t, int count, field_value_t *);
    int (*processes)(gpu_t, unsigned *count, process_t *);
    uint_reading_t power, power_limit, power_limit_default;
    clock_reading_t clock, clock_max;
    reasons_reading_t reasons, reasons_old;
} nvml;

static void load(void) {
    const struct {
        void *function; /* address of the pointer to set */
        const char *symbol;
    } table[] = {
        {&nvml.init, "nvmlInit_v2"},
        {&nvml.system_driver, "nvmlSystemGetDriverVersion"},
        {&nvml.by_pci, "nvmlDeviceGetHandleByPciBusId_v2"},
        {&nvml.by_uuid, "nvmlDeviceGetHandleByUUID"},
        {&nvml.mig, "nvmlDeviceGetMigMode"},
        {&nvml.temperature, "nvmlDeviceGetTemperature"},
        {&nvml.fields, "nvmlDeviceGetFieldValues"},
        {&nvml.processes, "nvmlDeviceGetComputeRunningProcesses_v3"},
        {&nvml.power, "nvmlDeviceGetPowerUsage"},
        {&nvml.power_limit, "nvmlDeviceGetPowerManagementLimit"},
        {&nvml.power_limit_default, "nvmlDeviceGetPowerManagementDefaultLimit"},
        {&nvml.clock, "nvmlDeviceGetClockInfo"},
        {&nvml.clock_max, "nvmlDeviceGetMaxClockInfo"},
        {&nvml.reasons, "nvmlDeviceGetCurrentClocksEventReasons"},
        {&nvml.reasons_old, "nvmlDeviceGetCurrentClocksThrottleReasons"},
    };
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) return;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        void *symbol = dlsym(library, table[i].symbol);
        memcpy(table[i].function, &symbol, sizeof symbol);
    }
    nvml.ready = nvml.init && nvml.init() == 0;
}

static bool ready(void) {
    if (!nvml.tried) load();
    nvml.tried = true;
    return nvml.ready;
}

const nvml_gpu_t *nvml_find(const char *pci, const char *uuid) {
    gpu_t gpu = NULL;
    if (!ready()) return NULL;
    if (pci && nvml.by_pci && nvml.by_pci(pci, &gpu) == 0) return gpu;
    if (uuid && nvml.by_uuid && nvml.by_uuid(uuid, &gpu) == 0) return gpu;
    return NULL;
}

static double read_uint(uint_reading_t reading, gpu_t gpu, double scale) {
    unsigned value;
    return reading && reading(gpu, &value) == 0 ? value * scale : NAN;
}

static double read_clock(clock_reading_t reading, gpu_t gpu, int type) {
    unsigned mhz;
    return reading && reading(gpu, type, &mhz) == 0 ? mhz : NAN;
}

/* From Ampere on nvmlDeviceGetPowerUsage averages over a second, longer than a measurement. The
 * field's integer type varies with the driver; milliwatts fit its low word. */
static double read_power_w(gpu_t gpu) {
    field_value_t field = {.field = FIELD_POWER_INSTANT};
    if (nvml.fields && nvml.fields(gpu, 1, &field) == 0 && field.result == 0 &&
        field.value_type != VALUE_DOUBLE)
        return field.value.uint * 1e-3;
    return read_uint(nvml.power, gpu, 1e-3);
}

void nvml_throttle_names(unsigned long long reasons, char *out, size_t out_len) {
    static const struct {
        unsigned long long bit;
        const char *name;
    } names[] = {
        {0x04, "sw_power_cap"}, {0x08, "hw_slowdown"},    {0x20, "sw_thermal"},
        {0x40, "hw_thermal"},   {0x80, "hw_power_brake"}, {0x02, "applications_clocks"},
        {0x10, "sync_boost"}, /* 0x01, idle, slows nothing */
    };
    size_t len = 0;
    snprintf(out, out_len, "none");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!(reasons & names[i].bit)) continue;
        const size_t need = strlen(names[i].name) + (len ? 1 : 0);
        if (len + need >= out_len) return;
        snprintf(out + len, out_len - len, "%s%s", len ? "+" : "", names[i].name);
        len += need;
    }
}

/* The caller is in the list too, perhaps under the number of another PID namespace; a list without
 * anyone is one that this user may not see. */
static double other_processes(gpu_t gpu) {
    process_t processes[MAX_PROCESSES];
    unsigned count = MAX_PROCESSES;
    if (!nvml.processes || nvml.processes(gpu, &count, processes) != 0 || count == 0) return NAN;
    return count - 1.0;
}

device_state_t nvml_state(const nvml_gpu_t *gpu) {
    device_state_t state = {NAN, NAN, NAN, ""};
    if (!gpu) return state;
    unsigned long long reasons;
    unsigned celsius;
    state.sm_clock_mhz = read_clock(nvml.clock, gpu, CLOCK_SM);
    state.power_w = read_power_w(gpu);
    if (nvml.temperature && nvml.temperature(gpu, TEMPERATURE_GPU, &celsius) == 0)
        state.temperature_c = celsius;
    if ((nvml.reasons && nvml.reasons(gpu, &reasons) == 0) ||
        (nvml.reasons_old && nvml.reasons_old(gpu, &reasons) == 0))
        nvml_throttle_names(reasons, state.throttle, sizeof state.throttle);
    if (other_processes(gpu) > 0)
        throttle_join(state.throttle, sizeof state.throttle, "other_process");
    return state;
}

static void number_fact(fact_t fact, void *ctx, const char *key, double value) {
    char text[32];
    if (isnan(value)) return;
    snprintf(text, sizeof text, "%.10g", value);
    fact(ctx, key, text);
}

void nvml_facts(const nvml_gpu_t *gpu, fact_t fact, void *ctx) {
    unsigned current, pending;
    if (!gpu) return;
    if (nvml.mig && nvml.mig(gpu, &current, &pending) == 0)
        fact(ctx, "gpu_mig", current ? "on" : "off");
    number_fact(fact, ctx, "gpu_power_limit_w", read_uint(nvml.power_limit, gpu, 1e-3));
    number_fact(fact, ctx, "gpu_power_limit_default_w",
                read_uint(nvml.power_limit_default, gpu, 1e-3));
    number_fact(fact, ctx, "gpu_sm_clock_max_mhz", read_clock(nvml.clock_max, gpu, CLOCK_SM));
    number_fact(fact, ctx, "gpu_sm_clock_mhz", read_clock(nvml.clock, gpu, CLOCK_SM));
    number_fact(fact, ctx, "gpu_memory_clock_max_mhz",
                read_clock(nvml.clock_max, gpu, CLOCK_MEMORY));
    number_fact(fact, ctx, "gpu_memory_clock_mhz", read_clock(nvml.clock, gpu, CLOCK_MEMORY));
    number_fact(fact, ctx, "gpu_other_processes", other_processes(gpu));
}

bool nvml_driver(char *out, size_t out_len) {
    return ready() && nvml.system_driver && nvml.system_driver(out, (unsigned)out_len) == 0;
}
