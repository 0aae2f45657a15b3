"""What papers report for ETTh1 in the same protocol: mean squared and mean absolute error by rows ahead.

Sources:
    Zhou et al. (2021), "Informer", AAAI, tables 1 and 2, as its repository shows them (`img/result_univariate.png`,
    `img/result_multivariate.png`): LSTMa is a recurrent encoder and decoder with attention, LSTnet is in the
    multivariate table alone. Zeng et al. (2023), "Are Transformers Effective for Time Series Forecasting?", AAAI, its
    tables as the authors' repository LTSF-Linear has them: of the rows ahead that are measured here there are 336 and
    720.
"""

Errors = dict[int, tuple[float, float]]

PUBLISHED: dict[str, dict[str, Errors]] = {
    "univariate": {
        "LSTMa": {
            24: (0.114, 0.272),
            48: (0.193, 0.358),
            168: (0.236, 0.392),
            336: (0.590, 0.698),
            720: (0.683, 0.768),
        },
        "DeepAR": {
            24: (0.107, 0.280),
            48: (0.162, 0.327),
            168: (0.239, 0.422),
            336: (0.445, 0.552),
            720: (0.658, 0.707),
        },
        "Informer": {
            24: (0.098, 0.247),
            48: (0.158, 0.319),
            168: (0.183, 0.346),
            336: (0.222, 0.387),
            720: (0.269, 0.435),
        },
        "DLinear": {336: (0.098, 0.244), 720: (0.189, 0.359)},
    },
    "multivariate": {
        "LSTMa": {
            24: (0.650, 0.624),
            48: (0.702, 0.675),
            168: (1.212, 0.867),
            336: (1.424, 0.994),
            720: (1.960, 1.322),
        },
        "LSTnet": {
            24: (1.293, 0.901),
            48: (1.456, 0.960),
            168: (1.997, 1.214),
            336: (2.655, 1.369),
            720: (2.143, 1.380),
        },
        "Informer": {
            24: (0.577, 0.549),
            48: (0.685, 0.625),
            168: (0.931, 0.752),
            336: (1.128, 0.873),
            720: (1.215, 0.896),
        },
        "DLinear": {336: (0.439, 0.443), 720: (0.472, 0.490)},
    },
}
