// One end of ZeroMQ's transport over NORM, lossless: what libzmq makes of losses is not looked at here.
//
//   zeromq send NODE         each line of standard input is a message; ends with it
//   zeromq receive NODE      prints each message as a line
//
// c++ -O1 zeromq.cc -o zeromq -lzmq

#include <cstdio>
#include <iostream>
#include <string>

#include <zmq.h>

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    bool sends = argv[1] == std::string("send");
    std::string url = std::string("norm://") + argv[2] + ",eth0;239.5.5.5:6003";
    void *context = zmq_ctx_new();
    void *socket = zmq_socket(context, sends ? ZMQ_PUB : ZMQ_SUB);
    if (sends ? zmq_bind(socket, url.c_str()) : zmq_connect(socket, url.c_str())) {
        fprintf(stderr, "%s: %s\n", url.c_str(), zmq_strerror(zmq_errno()));
        return 1;
    }
    if (!sends) zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("ready\n");
    std::string line;
    while (sends && std::getline(std::cin, line)) zmq_send(socket, line.data(), line.size(), 0);
    char message[1 << 20];
    while (!sends) {
        int length = zmq_recv(socket, message, sizeof message, 0);
        if (length < 0) return 1;
        printf("message %.*s\n", length, message);
    }
    // What is not sent yet would be lost with the socket: the test ends this program.
    for (;;) zmq_poll(NULL, 0, 1000);
}
