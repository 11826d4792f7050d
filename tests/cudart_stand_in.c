/* The calls of libcudart that edgert makes, on memory of this computer: for the way there and back, not for a GPU. */
#include <stdlib.h>
#include <string.h>

static int live, fails;

int standin_live(void) { return live; }
void standin_fail_next(void) { fails = 1; }

static int result(void) { int now = fails; fails = 0; return now ? 2 : 0; }

const char *cudaGetErrorString(int status) { return status == 2 ? "out of memory" : "no error"; }
int cudaGetDeviceCount(int *count) { *count = 1; return 0; }
int cudaDriverGetVersion(int *version) { *version = 12060; return 0; }
int cudaRuntimeGetVersion(int *version) { *version = 12060; return 0; }
int cudaDeviceGetAttribute(int *value, int which, int device)
{
    *value = which == 75 ? 8 : which == 76 ? 7 : -1;
    return device == 0 ? 0 : 101;
}
int cudaGetDeviceProperties_v2(void *properties, int device)
{
    memset(properties, 0xff, 1032);
    strcpy(properties, "Orin");
    return device == 0 ? 0 : 101;
}
int cudaMalloc(void **pointer, size_t size) { live++; *pointer = malloc(size); return result(); }
int cudaFree(void *pointer) { live--; free(pointer); return 0; }
int cudaStreamCreate(void **stream) { live++; *stream = malloc(1); return 0; }
int cudaStreamDestroy(void *stream) { live--; free(stream); return 0; }
int cudaStreamSynchronize(void *stream) { return stream == 0; }
int cudaMemcpyAsync(void *target, const void *source, size_t size, int kind, void *stream)
{
    if ((kind != 1 && kind != 2) || stream == 0)
        return 1;
    memcpy(target, source, size);
    return result();
}
