#include "kernels/cpu_team.h"

#include <omp.h>
#include <unistd.h>

static cpu_team_t team;

void cpu_team_set(const device_info_t *info) {
    team = (cpu_team_t){info->cores, info->private_cache_bytes, info->cache_bytes};
}

cpu_team_t cpu_team(void) {
    cpu_team_t t = team;
    if (t.threads < 1) t.threads = omp_get_max_threads();
    if (t.private_bytes <= 0) t.private_bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
    if (t.private_bytes <= 0) t.private_bytes = 256 << 10;
    if (t.shared_bytes < t.private_bytes) t.shared_bytes = t.private_bytes;
    return t;
}

bool cpu_team_balanced(int64_t items) {
    const int64_t threads = cpu_team().threads;
    return 5 * items >= 4 * round_up(items, threads);
}
