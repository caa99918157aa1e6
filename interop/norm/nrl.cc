// One end of a NORM session by NRL's library.
//
//   nrl send GROUP PORT INTERFACE NODE FILE RECEIVER PARITY LOSS   exit code 0 if acknowledged
//   nrl receive GROUP PORT INTERFACE NODE FILE LOSS                exit code 0 if completed
//   nrl send-stream and receive-stream: the same with a stream
//
// LOSS is the percentage of datagrams that the library loses on purpose.
//
// g++ -O1 nrl.cc -o nrl -lnorm

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string>

#include <normApi.h>

static const int LIMIT = 30;

int main(int argc, char **argv) {
    if (argc < 8) return 2;
    bool sends = !strncmp(argv[1], "send", 4);
    bool streams = strstr(argv[1], "-stream");
    std::string came;
    size_t written = 0;
    NormInstanceHandle instance = NormCreateInstance();
    NormSessionHandle session =
        NormCreateSession(instance, argv[2], atoi(argv[3]), atoi(argv[5]));
    NormSetMulticastInterface(session, argv[4]);
    NormSetGrttEstimate(session, 0.02);
    time_t start = time(NULL);
    NormObjectHandle object = NORM_OBJECT_INVALID;
    // The library takes the bytes as they are needed, so they must stay.
    static std::string bytes;
    if (sends) {
        std::ifstream file(argv[6], std::ios::binary);
        bytes.assign((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
        NormSetTxRate(session, 100e6);
        NormSetTxLoss(session, atof(argv[9]));
        NormAddAckingNode(session, atoi(argv[7]));
        if (!NormStartSender(session, 1, 16 << 20, 1400, 64, atoi(argv[8]))) return 3;
        object = streams ? NormStreamOpen(session, 4 << 20, "name", 4)
                         : NormDataEnqueue(session, bytes.data(), bytes.size(), "name", 4);
        if (object == NORM_OBJECT_INVALID) return 4;
        if (!streams) NormSetWatermark(session, object);
    } else {
        NormSetRxLoss(session, atof(argv[7]));
        if (!NormStartReceiver(session, 64 << 20)) return 3;
    }
    NormDescriptor descriptor = NormGetDescriptor(instance);
    while (time(NULL) - start < LIMIT) {
        if (sends && streams && written < bytes.size()) {
            written += NormStreamWrite(object, bytes.data() + written, bytes.size() - written);
            if (written == bytes.size()) {
                NormStreamClose(object, true);
                NormSetWatermark(session, object, true);
            }
        }
        fd_set set;
        FD_ZERO(&set);
        FD_SET(descriptor, &set);
        struct timeval second = {1, 0};
        if (select(descriptor + 1, &set, NULL, NULL, &second) <= 0) continue;
        NormEvent event;
        if (!NormGetNextEvent(instance, &event, false)) continue;
        if (sends && event.type == NORM_TX_WATERMARK_COMPLETED) {
            NormAckingStatus status = NormGetAckingStatus(session);
            printf("watermark: %s\n", status == NORM_ACK_SUCCESS ? "success" : "failure");
            return status == NORM_ACK_SUCCESS ? 0 : 1;
        }
        if (!sends && streams &&
            (event.type == NORM_RX_OBJECT_UPDATED || event.type == NORM_RX_OBJECT_COMPLETED)) {
            char buffer[65536];
            unsigned int count = sizeof buffer;
            while (NormStreamRead(event.object, buffer, &count) && count > 0) {
                came.append(buffer, count);
                count = sizeof buffer;
            }
        }
        if (!sends && event.type == NORM_RX_OBJECT_COMPLETED) {
            std::ofstream file(argv[6], std::ios::binary);
            if (streams)
                file.write(came.data(), came.size());
            else
                file.write(NormDataAccessData(event.object), NormObjectGetSize(event.object));
            file.close();
            printf("completed\n");
            // It stays for a while, so that the sender hears that all has come.
            for (int ticks = 0; ticks < 30; ticks++) {
                struct timeval tick = {0, 100000};
                select(0, NULL, NULL, NULL, &tick);
            }
            return 0;
        }
    }
    printf("given up\n");
    return 1;
}
